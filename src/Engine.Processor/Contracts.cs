namespace Hypervisor.Engine.Processor;

/// <summary>
/// The memory a processor is connected to. In all calls but <see cref="TryGetPage"/> the processor is outside the guest: they may block,
/// and may wait for other processors (<see cref="SafePoints"/>).
/// </summary>
public unsafe interface IMemoryBus
{
    /// <summary>
    /// The host address of a guest-physical page as it is now; called often, must be quick and must not block. The address is used
    /// until the processor is ordered to forget it (<see cref="SafePoints"/>), not longer than its next call to a bus otherwise.
    /// </summary>
    /// <param name="address">Guest-physical address, a multiple of 4096.</param>
    /// <param name="forWriting">
    /// The page is going to be stored to: the answer is never <see cref="PagePresence.Shared"/>. Otherwise it may be stored to all the
    /// same if the answer is <see cref="PagePresence.Writable"/>.
    /// </param>
    /// <param name="presence">What can be done with the page through its address.</param>
    /// <returns>Null where there is no memory, or none at the moment.</returns>
    byte* TryGetPage(ulong address, bool forWriting, out PagePresence presence);

    /// <summary>
    /// Brings back a page that <see cref="TryGetPage"/> called absent; may block. The processor is outside the guest meanwhile, and asks
    /// again afterwards, as often as necessary. Not needed where no page is ever absent.
    /// </summary>
    /// <param name="address">Guest-physical address, a multiple of 4096.</param>
    /// <param name="forWriting">The page is going to be stored to.</param>
    void MakePresent(ulong address, bool forWriting)
    {
    }

    /// <summary>
    /// One attribute byte a page of the physical address space below <see cref="PageAttributeCount"/> pages (see
    /// <see cref="PageAttributes"/>), shared by all processors of a machine; accessed with byte-sized atomic operations.
    /// </summary>
    byte* PageAttributeTable { get; }

    /// <summary>Entries of <see cref="PageAttributeTable"/>.</summary>
    ulong PageAttributeCount { get; }

    /// <summary>
    /// A store hit a page marked <see cref="PageAttributes.Code"/>: clear <see cref="PageAttributes.AllOfCode"/>, then have all processors drop
    /// code decoded from it (<see cref="X86Processor.InvalidateCodePage"/>).
    /// </summary>
    void CodePageWritten(ulong pageNumber);

    /// <summary>
    /// This processor marked a page <see cref="PageAttributes.Code"/> and is going to decode from it: <see cref="SafePoints.RevokeWriteAccess"/>
    /// must be called for the others before this returns, with <see cref="ProcessorOptions.CodeLock"/> held as it is. Not needed where
    /// there is only one.
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

/// <summary>What can be done with a guest-physical page through its host address.</summary>
public enum PagePresence : byte
{
    /// <summary>There is no memory: accesses go to <see cref="IMemoryBus.ReadMmio"/> and <see cref="IMemoryBus.WriteMmio"/>.</summary>
    None,
    /// <summary>There is memory, but not for such an access now: <see cref="IMemoryBus.MakePresent"/>, then ask again.</summary>
    Absent,
    /// <summary>Read-only memory: stores go to <see cref="IMemoryBus.WriteMmio"/>.</summary>
    ReadOnly,
    /// <summary>Can be read; whoever is going to store asks again for that.</summary>
    Shared,
    /// <summary>Can be read and stored to.</summary>
    Writable,
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
    /// <summary>With <see cref="Code"/>: all processors have taken notice of that.</summary>
    CodeSettled = 4,
    /// <summary>What is cleared before processors drop the code decoded from a page.</summary>
    AllOfCode = Code | CodeSettled,
}

/// <summary>The I/O ports a processor is connected to. It is outside the guest in these calls (see <see cref="SafePoints"/>).</summary>
public interface IPortBus
{
    /// <summary>IN of 1, 2 or 4 bytes.</summary>
    uint Read(ushort port, int size);

    /// <summary>OUT of 1, 2 or 4 bytes.</summary>
    void Write(ushort port, int size, uint value);
}

/// <summary>
/// The local APIC as its processor sees it. Called on the processor's thread, which is outside the guest (see <see cref="SafePoints"/>) in
/// the methods and must not be delayed by the properties. Another thread that makes an interrupt pending calls
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
