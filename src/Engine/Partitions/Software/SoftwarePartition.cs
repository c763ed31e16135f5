using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>A partition whose processors are <see cref="X86Processor"/>: needs nothing of the host.</summary>
public sealed class SoftwarePartition : IPartition
{
    private const int PhysicalAddressBits = 40;

    private readonly ApicBus _apicBus = new();
    private readonly SoftwareVirtualProcessor[] _processors;
    private bool _disposed;

    internal SoftwarePartition(PartitionOptions options)
    {
        // The TSC is the machine's clock, so that deadlines are exact and the guest's time stands still while the machine is paused.
        var clock = options.Clock;
        var timestamp = new TimestampCounter(() => clock.Now);
        Memory = new PhysicalMemoryMap(PhysicalAddressBits);
        Capabilities = new PartitionCapabilities
        {
            TscFrequency = timestamp.Frequency,
            ApicTimerFrequency = LocalApicTimer.Frequency,
        };
        _processors = new SoftwareVirtualProcessor[options.ProcessorCount];
        for (int index = 0; index < _processors.Length; index++)
        {
            _processors[index] = new SoftwareVirtualProcessor(this, _apicBus, index, options, timestamp, PhysicalAddressBits);
        }

        _apicBus.Connect([.. _processors.Select(processor => processor.Apic)]);
    }

    /// <inheritdoc/>
    public BackendKind Backend => BackendKind.Software;

    /// <inheritdoc/>
    public PartitionCapabilities Capabilities { get; }

    /// <inheritdoc/>
    public IReadOnlyList<IVirtualProcessor> Processors => _processors;

    /// <inheritdoc/>
    public Action<byte>? EndOfInterrupt
    {
        get => _apicBus.EndOfInterrupt;
        set => _apicBus.EndOfInterrupt = value;
    }

    internal PhysicalMemoryMap Memory { get; }

    /// <summary>Taken by processors for what is to be atomic and the host has no operation for.</summary>
    internal Lock BusLock { get; } = new();

    /// <inheritdoc/>
    public void MapMemory(ulong guestAddress, nint hostAddress, ulong bytes, MemoryAccess access)
    {
        Memory.Map(guestAddress, hostAddress, bytes, access);
        ForgetMappings();
    }

    /// <inheritdoc/>
    public void UnmapMemory(ulong guestAddress)
    {
        Memory.Unmap(guestAddress);
        ForgetMappings();
    }

    /// <inheritdoc/>
    public void SetDirtyTracking(ulong guestAddress, bool enabled)
    {
        Memory.SetTracking(guestAddress, enabled);
        RevokeWriteAccess();
    }

    /// <inheritdoc/>
    /// <remarks>
    /// A store that a running processor is in the middle of may show in the next harvest although it is in memory already, or, if it
    /// began before this one marked its page, in none: the last harvest of a series is taken with the processors stopped, after one
    /// more call.
    /// </remarks>
    public void HarvestDirtyPages(ulong guestAddress, Span<ulong> bitmap)
    {
        Memory.Harvest(guestAddress, bitmap);
        RevokeWriteAccess();
    }

    /// <inheritdoc/>
    public unsafe void NotifyHostWrite(ulong guestAddress, ulong bytes)
    {
        if (bytes == 0)
        {
            return;
        }

        // The data must be in memory before the marks are read, or a processor that decodes now would be missed.
        Interlocked.MemoryBarrier();
        ulong count = Memory.AttributeCount;
        byte* attributes = Memory.Attributes;
        ulong last = (guestAddress + bytes - 1) / PhysicalMemoryMap.PageBytes;
        for (ulong page = guestAddress / PhysicalMemoryMap.PageBytes; page <= last && page < count; page++)
        {
            // SAFETY: page is below the table's length; a table lives as long as the partition.
            if ((attributes[page] & (byte)PageAttributes.Code) != 0)
            {
                DropCode(page);
            }
        }
    }

    /// <summary>There are no controllers in this backend: the platform's own send messages.</summary>
    /// <exception cref="NotSupportedException">Always.</exception>
    public void SetInterruptLine(int gsi, bool asserted) =>
        throw new NotSupportedException("The software backend has no I/O APIC of its own; use the platform's interrupt router.");

    /// <inheritdoc/>
    public void SignalMsi(ulong address, uint data)
    {
        if (ApicMessage.TryDecode(address, data, out var message))
        {
            _apicBus.Send(message);
        }
    }

    /// <inheritdoc/>
    public void AttachExternalInterruptSource(IExternalInterruptSource source)
    {
        ArgumentNullException.ThrowIfNull(source);
        _processors[0].Apic.AttachExternalSource(source);
    }

    /// <inheritdoc/>
    public void SetExternalInterrupt(bool asserted) => _processors[0].Apic.SetExternalLine(asserted);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        foreach (var processor in _processors)
        {
            processor.Dispose();
        }

        Memory.Dispose();
    }

    // Marked again by whoever decodes from the page after this.
    internal void DropCode(ulong page)
    {
        Memory.Change(page, 0, PageAttributes.Code);
        foreach (var processor in _processors)
        {
            processor.DropCode(page);
        }
    }

    // A processor marked a page from which it decodes: the others notice stores to it from now on.
    internal void RevokeWriteAccess(ulong page, int except)
    {
        foreach (var processor in _processors)
        {
            if (processor.Index != except)
            {
                processor.RevokeWriteAccess(page);
            }
        }
    }

    private void RevokeWriteAccess()
    {
        foreach (var processor in _processors)
        {
            processor.RevokeWriteAccess();
        }
    }

    private void ForgetMappings()
    {
        foreach (var processor in _processors)
        {
            processor.ForgetMappings();
        }
    }
}
