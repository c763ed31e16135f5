using System.Diagnostics.CodeAnalysis;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>A partition whose processors are <see cref="X86Processor"/>: needs nothing of the host.</summary>
public sealed class SoftwarePartition : IPartition, IPagedPartition
{
    private const int PhysicalAddressBits = 40;

    private readonly ApicBus _apicBus = new();
    private readonly SoftwareVirtualProcessor[] _processors;
    private readonly X86Processor[] _executors;
    private readonly X86Processor[][] _others;
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

        _executors = [.. _processors.Select(processor => processor.Processor)];
        _others = [.. _executors.Select(own => _executors.Where(other => other != own).ToArray())];
        _apicBus.Connect([.. _processors.Select(processor => processor.Apic)]);
    }

    /// <inheritdoc/>
    public BackendKind Backend => BackendKind.Software;

    /// <inheritdoc/>
    public PartitionCapabilities Capabilities { get; }

    /// <inheritdoc/>
    public IReadOnlyList<IVirtualProcessor> Processors => _processors;

    /// <inheritdoc/>
    public long HostBytes
    {
        get
        {
            long bytes = 0;
            foreach (X86Processor processor in _executors)
            {
                bytes += processor.HostBytes;
            }

            return bytes;
        }
    }

    /// <inheritdoc/>
    public void TrimHost() => Array.ForEach(_executors, static processor => processor.ReleaseCaches());

    /// <inheritdoc/>
    public Action<byte>? EndOfInterrupt
    {
        get => _apicBus.EndOfInterrupt;
        set => _apicBus.EndOfInterrupt = value;
    }

    internal PhysicalMemoryMap Memory { get; }

    /// <summary>Taken by processors for what is to be atomic and the host has no operation for.</summary>
    internal Lock BusLock { get; } = new();

    /// <summary>Taken by processors while a page from which code is decoded is marked.</summary>
    internal Lock CodeLock { get; } = new();

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
    public bool TryAttachPages(GuestPages pages, [NotNullWhen(true)] out IPageHomes? homes, out string reason)
    {
        Memory.Attach(pages);
        ForgetMappings();
        homes = new SoftwarePageHomes(this, pages);
        reason = "";
        return true;
    }

    /// <inheritdoc/>
    public void SetDirtyTracking(ulong guestAddress, bool enabled)
    {
        Memory.SetTracking(guestAddress, enabled);
        SynchronizeAll();
    }

    /// <inheritdoc/>
    /// <remarks>
    /// The processors may run. A store that is in memory when this returns is in this harvest or an earlier one, or will be in the next;
    /// whoever copies a page that was reported finds in it every store that is not reported again.
    /// </remarks>
    public void HarvestDirtyPages(ulong guestAddress, Span<ulong> bitmap)
    {
        Memory.Harvest(guestAddress, bitmap);
        SynchronizeAll();
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
        Memory.Change(page, 0, PageAttributes.AllOfCode);
        foreach (var processor in _processors)
        {
            processor.DropCode(page);
        }
    }

    /// <summary>
    /// When this returns, no processor holds the host address of a page that it was given before the call, nor is in the middle of an
    /// access through one; what they do to the page afterwards begins with <see cref="IMemoryBus.TryGetPage"/>. Any thread: a
    /// processor's own only in a call to its bus. Processors that do not run, or are in a call themselves, are not waited for.
    /// </summary>
    /// <param name="page">Guest-physical page number.</param>
    internal void Synchronize(ulong page) => Synchronize([page]);

    /// <summary>As <see cref="Synchronize(ulong)"/>, for several pages.</summary>
    /// <param name="pages">Guest-physical page numbers. More than sixteen cost as much as all.</param>
    internal void Synchronize(ReadOnlySpan<ulong> pages)
    {
        if (!_disposed && !pages.IsEmpty)
        {
            SafePoints.Forget(_executors, pages);
        }
    }

    /// <summary>As <see cref="Synchronize(ulong)"/>, for all pages.</summary>
    internal void SynchronizeAll()
    {
        if (!_disposed)
        {
            SafePoints.Forget(_executors, []);
        }
    }

    // A processor marked a page from which it is going to decode: the others notice stores to it from now on.
    internal void RevokeWriteAccess(ulong page, int except) => SafePoints.RevokeWriteAccess(_others[except], page);

    private void ForgetMappings()
    {
        foreach (var processor in _processors)
        {
            processor.ForgetMappings();
        }
    }
}
