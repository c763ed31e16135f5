namespace Hypervisor.Engine.Partitions;

/// <summary>
/// The isolated address space and virtual processors of one machine, on one backend. The same contract tests run over every
/// implementation. Members may be called from any thread unless said otherwise; nothing here throws because of what a guest did.
/// </summary>
public interface IPartition : IDisposable
{
    /// <summary>The backend that runs this partition; never <see cref="BackendKind.Auto"/>.</summary>
    BackendKind Backend { get; }

    /// <summary>What this backend brings along, so that the platform does not build it a second time.</summary>
    PartitionCapabilities Capabilities { get; }

    /// <summary>The virtual processors by index; the index is also the local APIC id.</summary>
    IReadOnlyList<IVirtualProcessor> Processors { get; }

    /// <summary>
    /// Makes host memory visible to the guest. Page-aligned; ranges must not overlap. Writes by the guest to a read-only range
    /// go to <see cref="IPartitionBus.WriteMmio"/>. Call before processors run, or while all are stopped.
    /// </summary>
    /// <param name="guestAddress">Guest-physical address, a multiple of 4096.</param>
    /// <param name="hostAddress">Host address that stays valid until <see cref="UnmapMemory"/> or disposal.</param>
    /// <param name="bytes">Length, a multiple of 4096.</param>
    /// <param name="access">What the guest may do.</param>
    void MapMemory(ulong guestAddress, nint hostAddress, ulong bytes, MemoryAccess access);

    /// <summary>Takes back a range exactly as it was mapped.</summary>
    void UnmapMemory(ulong guestAddress);

    /// <summary>Starts or stops recording which pages of a mapped range the guest writes.</summary>
    void SetDirtyTracking(ulong guestAddress, bool enabled);

    /// <summary>
    /// Fetches and clears the pages of a mapped range that were written by virtual processors since tracking began or since the last
    /// call; bit n is page n of the range. Writes by devices are the caller's own (<see cref="Memory.GuestMemory"/> records them).
    /// </summary>
    void HarvestDirtyPages(ulong guestAddress, Span<ulong> bitmap);

    /// <summary>
    /// Tells the partition that host code (a device, a loader) changed guest memory, so that a software processor can drop
    /// decoded or translated code. Cheap; a no-operation on hardware backends.
    /// </summary>
    void NotifyHostWrite(ulong guestAddress, ulong bytes);

    /// <summary>
    /// Raises or lowers a line of the in-kernel I/O APIC and PIC. Only where
    /// <see cref="PartitionCapabilities.InKernelIrqChip"/>; elsewhere the platform's own I/O APIC and PIC turn lines into messages.
    /// </summary>
    void SetInterruptLine(int gsi, bool asserted);

    /// <summary>Delivers a message-signalled interrupt (Intel SDM vol. 3A, 11.11): address 0xFEExxxxx and data.</summary>
    void SignalMsi(ulong address, uint data);

    /// <summary>
    /// Sets the source of ExtINT vectors (the 8259 pair) for backends without an in-kernel one. The line level is told
    /// with <see cref="SetExternalInterrupt"/>; the processor fetches the vector when it accepts the interrupt.
    /// </summary>
    void AttachExternalInterruptSource(IExternalInterruptSource source);

    /// <summary>The level of the INTR line from the 8259 pair into virtual processor 0's LINT0.</summary>
    void SetExternalInterrupt(bool asserted);

    /// <summary>Called when a level-triggered vector gets its EOI on a local APIC; for the platform's own I/O APIC.</summary>
    Action<byte>? EndOfInterrupt { get; set; }
}

/// <summary>What a backend brings along.</summary>
public readonly record struct PartitionCapabilities
{
    /// <summary>I/O APIC, PIC and PIT live in the backend (KVM); the platform builds none.</summary>
    public bool InKernelIrqChip { get; init; }

    /// <summary>A halted processor waits inside <see cref="IVirtualProcessor.Run"/> until there is work or a kick.</summary>
    public bool HaltsInside { get; init; }

    /// <summary>Frequency of the guest's TSC in Hz; 0 where unknown.</summary>
    public ulong TscFrequency { get; init; }

    /// <summary>Frequency of the local APIC timer's input clock in Hz.</summary>
    public ulong ApicTimerFrequency { get; init; }

    /// <summary>The KVM paravirtual clock and features leaf 0x4000_0000 are offered to the guest.</summary>
    public bool KvmClock { get; init; }

    /// <summary>Processors use guest memory by page tables that follow the host's, so that its large pages make them faster.</summary>
    public bool UsesLargePages { get; init; }
}

/// <summary>Access of the guest to a mapped range.</summary>
[Flags]
public enum MemoryAccess
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>The guest may read.</summary>
    Read = 1,
    /// <summary>The guest may write.</summary>
    Write = 2,
    /// <summary>The guest may execute.</summary>
    Execute = 4,
    /// <summary>Ordinary memory.</summary>
    All = Read | Write | Execute,
    /// <summary>Read-only memory (firmware).</summary>
    Rom = Read | Execute,
}

/// <summary>Where a local APIC in ExtINT mode fetches its vector: the 8259 pair.</summary>
public interface IExternalInterruptSource
{
    /// <summary>The INTA cycle: returns the vector of the highest pending request and marks it in service.</summary>
    byte Acknowledge();
}
