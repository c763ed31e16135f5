namespace Hypervisor.Engine.Processor;

/// <summary>The memory a processor is connected to.</summary>
public unsafe interface IMemoryBus
{
    /// <summary>
    /// The host address of a guest-physical page, or null where there is no memory (accesses then go to
    /// <see cref="ReadMmio"/>/<see cref="WriteMmio"/>). The answer holds until the processor is told otherwise by
    /// <see cref="X86Processor.FlushPhysicalMappings"/>.
    /// </summary>
    /// <param name="address">Guest-physical address, a multiple of 4096.</param>
    /// <param name="writable">False for read-only memory: stores go to <see cref="WriteMmio"/>.</param>
    byte* GetPage(ulong address, out bool writable);

    /// <summary>
    /// One attribute byte a page of the physical address space below <see cref="PageAttributeCount"/> pages (see
    /// <see cref="PageAttributes"/>), shared by all processors of a machine; accessed with byte-sized atomic operations.
    /// </summary>
    byte* PageAttributeTable { get; }

    /// <summary>Entries of <see cref="PageAttributeTable"/>.</summary>
    ulong PageAttributeCount { get; }

    /// <summary>A store hit a page marked <see cref="PageAttributes.Code"/>: all processors must drop code decoded from it.</summary>
    void CodePageWritten(ulong pageNumber);

    /// <summary>
    /// This processor marked a page <see cref="PageAttributes.Code"/>: <see cref="X86Processor.RevokeWriteAccess(ulong)"/> must be
    /// called on the others before this returns. Not needed where there is only one.
    /// </summary>
    void CodePageMarked(ulong pageNumber)
    {
    }

    /// <summary>A store hit a page marked <see cref="PageAttributes.TrackWrites"/>: record it, and clear the mark if the first store suffices.</summary>
    void TrackedPageWritten(ulong pageNumber)
    {
    }

    /// <summary>A load of 1 to 8 bytes outside memory.</summary>
    ulong ReadMmio(ulong address, int size);

    /// <summary>A store of 1 to 8 bytes outside writable memory.</summary>
    void WriteMmio(ulong address, int size, ulong value);
}

/// <summary>Attributes of a guest-physical page.</summary>
[Flags]
public enum PageAttributes : byte
{
    /// <summary>None.</summary>
    None = 0,
    /// <summary>Some processor holds code decoded from this page.</summary>
    Code = 1,
    /// <summary>Stores are to be recorded (dirty tracking is on and the page is still clean).</summary>
    TrackWrites = 2,
}

/// <summary>The I/O ports a processor is connected to.</summary>
public interface IPortBus
{
    /// <summary>IN of 1, 2 or 4 bytes.</summary>
    uint Read(ushort port, int size);

    /// <summary>OUT of 1, 2 or 4 bytes.</summary>
    void Write(ushort port, int size, uint value);
}

/// <summary>
/// The local APIC as its processor sees it. Called on the processor's thread. Another thread that makes an interrupt pending calls
/// <see cref="X86Processor.SignalInterrupt"/> afterwards.
/// </summary>
public interface ILocalApic
{
    /// <summary>An interrupt of sufficient priority (APIC or ExtINT) waits. Cheap: polled between blocks.</summary>
    bool HasInterrupt { get; }

    /// <summary>Accepts the highest-priority interrupt and returns its vector; -1 when it went away.</summary>
    int Acknowledge();

    /// <summary>The task-priority register as CR8 shows it: 0 to 15.</summary>
    byte TaskPriority { get; set; }

    /// <summary>The IA32_APIC_BASE MSR.</summary>
    ulong ApicBase { get; }

    /// <summary>RDMSR of 1Bh, 6E0h (TSC deadline) or 800h–8FFh; false raises #GP(0).</summary>
    bool TryReadMsr(uint index, out ulong value);

    /// <summary>WRMSR of the same; false raises #GP(0).</summary>
    bool TryWriteMsr(uint index, ulong value);
}

/// <summary>Why a processor stopped running.</summary>
public enum StopReason
{
    /// <summary><see cref="X86Processor.RequestStop"/> was called.</summary>
    Requested,
    /// <summary>HLT, MWAIT or waiting for SIPI, and nothing is pending.</summary>
    Halted,
    /// <summary>Triple fault.</summary>
    Shutdown,
}
