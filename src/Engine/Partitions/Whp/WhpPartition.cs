using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Native.Whp;

namespace Hypervisor.Engine.Partitions.Whp;

/// <summary>
/// A partition on the Windows Hypervisor Platform, with the hypervisor's own local APICs in xAPIC mode; I/O APIC, PIC and PIT are the
/// platform's. Unexercised until someone runs it on Windows.
/// </summary>
public sealed class WhpPartition : IPartition
{
    /// <summary>Leaves that <see cref="WhpVirtualProcessor"/> edits; all others are the hypervisor's own.</summary>
    private static readonly uint[] EditedLeaves =
        [1, 4, 7, 0xB, 0xD, 0x19, 0x1D, 0x1E, 0x1F, 0x24, 0x4000_0000, 0x4000_0001, 0x4000_0010, 0x8000_0001, 0x8000_0008, 0x8000_001E];

    private readonly WhpPartitionHandle _handle;
    private readonly WhpVirtualProcessor[] _processors;
    private readonly Lock _memory = new();
    private readonly bool _tracksDirtyPages;
    private volatile Region[] _regions = [];
    private volatile IExternalInterruptSource? _externalInterrupts;
    private bool _disposed;

    internal WhpPartition(PartitionOptions options)
    {
        var model = ProcessorModels.Parse(options.ProcessorModel);
        WhpCalls.Check(WhpPartitionHandle.TryCreate(out var handle), "make a partition");
        _handle = handle!;
        _processors = new WhpVirtualProcessor[options.ProcessorCount];
        try
        {
            _ = WhpLibrary.TryGetCapability(WhpCapability.Features, out ulong features);
            _tracksDirtyPages = ((WhpFeatures)features).HasFlag(WhpFeatures.DirtyPageTracking);
            WhpCalls.Check(_handle.SetProperty(WhpProperty.ProcessorCount, (uint)options.ProcessorCount), "set the number of processors");
            WhpCalls.Check(_handle.SetProperty(WhpProperty.LocalApicEmulationMode, WhpLocalApicMode.XApic), "give the processors local APICs");
            WhpCalls.Check(_handle.SetProperty(WhpProperty.ExtendedVmExits, WhpExtendedExits.Cpuid | WhpExtendedExits.Msr), "ask for CPUID and MSR exits");
            WhpCalls.Check(_handle.SetProperty<uint>(WhpProperty.CpuidExitList, EditedLeaves), "name the CPUID leaves to edit");

            // Bit 0: accesses to registers that the hypervisor does not know. Old versions always report these.
            _ = _handle.SetProperty(WhpProperty.X64MsrExitBitmap, 1ul);
            WhpCalls.Check(_handle.Setup(), "set the partition up");

            _ = WhpLibrary.TryGetCapability(WhpCapability.ProcessorClockFrequency, out ulong tsc);
            _ = WhpLibrary.TryGetCapability(WhpCapability.InterruptClockFrequency, out ulong apicTimer);
            Capabilities = new PartitionCapabilities { HaltsInside = true, TscFrequency = tsc, ApicTimerFrequency = apicTimer };
            var cpuid = new WhpCpuidPolicy(model, options.CoresPerSocket, options.ProcessorCount, tsc, apicTimer);
            for (int i = 0; i < _processors.Length; i++)
            {
                WhpCalls.Check(_handle.CreateProcessor(i), $"make virtual processor {i}");
                _processors[i] = new WhpVirtualProcessor(this, _handle, i, options.Bus, cpuid);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Memory as it was mapped.</summary>
    internal readonly record struct Region(ulong First, ulong Bytes, nint Host, bool Writable, bool Tracked);

    /// <inheritdoc/>
    public BackendKind Backend => BackendKind.Whp;

    /// <inheritdoc/>
    public PartitionCapabilities Capabilities { get; }

    /// <inheritdoc/>
    public IReadOnlyList<IVirtualProcessor> Processors => _processors;

    /// <inheritdoc/>
    public Action<byte>? EndOfInterrupt { get; set; }

    /// <summary>Where the 8259 pair hands over its vectors.</summary>
    internal IExternalInterruptSource? ExternalInterrupts => _externalInterrupts;

    /// <inheritdoc/>
    public void MapMemory(ulong guestAddress, nint hostAddress, ulong bytes, MemoryAccess access)
    {
        if (bytes == 0 || ((guestAddress | bytes | (ulong)hostAddress) % GuestMemory.PageSize) != 0 || guestAddress + bytes < guestAddress)
        {
            throw new ArgumentException($"A range of {bytes} bytes at {guestAddress:x}h is not made of whole pages.");
        }

        lock (_memory)
        {
            if (_regions.Any(r => r.First < guestAddress + bytes && guestAddress < r.First + r.Bytes))
            {
                throw new ArgumentException($"The range at {guestAddress:x}h overlaps another.");
            }

            bool writable = access.HasFlag(MemoryAccess.Write);

            // Tracking is decided at mapping time, and mapping again while the guest runs would let it see a hole.
            var flags = (access.HasFlag(MemoryAccess.Read) ? WhpMapFlags.Read : 0) | (writable ? WhpMapFlags.Write : 0)
                | (access.HasFlag(MemoryAccess.Execute) ? WhpMapFlags.Execute : 0)
                | (writable && _tracksDirtyPages ? WhpMapFlags.TrackDirtyPages : 0);
            WhpCalls.Check(_handle.Map(hostAddress, guestAddress, bytes, flags), $"map {bytes} bytes of memory at {guestAddress:x}h");
            _regions = [.. _regions, new Region(guestAddress, bytes, hostAddress, writable, Tracked: false)];
        }
    }

    /// <inheritdoc/>
    public void UnmapMemory(ulong guestAddress)
    {
        lock (_memory)
        {
            var region = Find(guestAddress);
            WhpCalls.Check(_handle.Unmap(region.First, region.Bytes), $"unmap the memory at {guestAddress:x}h");
            _regions = [.. _regions.Where(r => r.First != guestAddress)];
        }
    }

    /// <inheritdoc/>
    public void SetDirtyTracking(ulong guestAddress, bool enabled)
    {
        lock (_memory)
        {
            var region = Find(guestAddress);
            if (enabled && !region.Tracked && region.Writable && _tracksDirtyPages)
            {
                // What was written before does not count.
                WhpCalls.Check(_handle.QueryDirtyBitmap(region.First, region.Bytes, new ulong[Words(region)]), "clear the record of written pages");
            }

            _regions = [.. _regions.Select(r => r.First == guestAddress ? r with { Tracked = enabled } : r)];
        }
    }

    /// <inheritdoc/>
    public void HarvestDirtyPages(ulong guestAddress, Span<ulong> bitmap)
    {
        lock (_memory)
        {
            var region = Find(guestAddress);
            int words = Words(region);
            if (bitmap.Length < words)
            {
                throw new ArgumentException($"The bitmap of the memory at {guestAddress:x}h takes {words} words.", nameof(bitmap));
            }

            bitmap.Clear();
            if (!region.Tracked || !region.Writable)
            {
                return;
            }

            if (_tracksDirtyPages)
            {
                WhpCalls.Check(_handle.QueryDirtyBitmap(region.First, region.Bytes, bitmap[..words]), "fetch the written pages");
                return;
            }

            // A hypervisor that cannot tell: any page may have been written.
            ulong pages = region.Bytes / GuestMemory.PageSize;
            bitmap[..words].Fill(ulong.MaxValue);
            if (pages % 64 != 0)
            {
                bitmap[words - 1] = (1ul << (int)(pages % 64)) - 1;
            }
        }
    }

    /// <inheritdoc/>
    public void NotifyHostWrite(ulong guestAddress, ulong bytes)
    {
        // The host's processor keeps its own instruction caches coherent.
    }

    /// <inheritdoc/>
    public void SetInterruptLine(int gsi, bool asserted) =>
        throw new NotSupportedException("The I/O APIC of a WHP partition is the platform's own.");

    /// <inheritdoc/>
    public void SignalMsi(ulong address, uint data)
    {
        // Intel SDM vol. 3A, 11.11: destination in address bits 12–19, logical mode in bit 2; data: vector 0–7, delivery 8–10, level 15.
        uint delivery = (data >> 8) & 7;
        if (delivery is not ((uint)WhpInterruptType.Fixed or (uint)WhpInterruptType.LowestPriority or (uint)WhpInterruptType.Nmi
            or (uint)WhpInterruptType.Init))
        {
            // SMI and ExtINT messages do not exist here; a guest's nonsense goes nowhere, as on a bus.
            return;
        }

        Request((WhpInterruptType)delivery, (uint)(address >> 12) & 0xFF, data & 0xFF, (address & 4) != 0, (data & 0x8000) != 0);
    }

    /// <inheritdoc/>
    public void AttachExternalInterruptSource(IExternalInterruptSource source) => _externalInterrupts = source;

    /// <inheritdoc/>
    public void SetExternalInterrupt(bool asserted) => _processors[0].SetExternalInterrupt(asserted);

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
            // Null only where the constructor gave up half-way.
            processor?.Dispose();
        }

        _handle.Dispose();
    }

    /// <summary>Sends an interrupt through the local APICs. Errors mean a target that is not there, and that is the guest's affair.</summary>
    internal void Request(WhpInterruptType type, uint destination, uint vector, bool logical, bool level) =>
        _ = _handle.RequestInterrupt(new WhpInterruptControl
        {
            Control = (ulong)type | (logical ? 1ul << 8 : 0) | (level ? 1ul << 12 : 0),
            Destination = destination,
            Vector = vector,
        });

    /// <summary>The host address of guest memory that lies wholly in one region; 0 where it does not.</summary>
    internal nint FindMemory(ulong address, int bytes, bool forWriting)
    {
        foreach (var region in _regions)
        {
            if (address >= region.First && address - region.First <= region.Bytes - (uint)bytes)
            {
                return region.Writable || !forWriting ? region.Host + (nint)(address - region.First) : 0;
            }
        }

        return 0;
    }

    private Region Find(ulong guestAddress)
    {
        foreach (var region in _regions)
        {
            if (region.First == guestAddress)
            {
                return region;
            }
        }

        throw new ArgumentException($"No range of memory begins at {guestAddress:x}h.", nameof(guestAddress));
    }

    private static int Words(Region region) => (int)((region.Bytes / GuestMemory.PageSize + 63) / 64);
}
