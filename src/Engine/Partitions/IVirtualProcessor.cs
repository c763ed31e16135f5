namespace Hypervisor.Engine.Partitions;

/// <summary>
/// One virtual processor. <see cref="Run"/> and the state accessors belong to one thread at a time (the one that runs it, or any
/// while it is stopped); <see cref="Kick"/> and <see cref="InjectNmi"/> may come from any thread.
/// </summary>
public interface IVirtualProcessor : IDisposable
{
    /// <summary>Index in the partition and local APIC id.</summary>
    int Index { get; }

    /// <summary>
    /// Runs guest code until something needs the caller. Port I/O and MMIO do not end it: they go to the partition's
    /// <see cref="IPartitionBus"/> and the guest continues. Allocates nothing.
    /// </summary>
    VpExit Run();

    /// <summary>The exception that ended the last <see cref="Run"/> with <see cref="VpExitReason.InternalError"/>; null where the host's kernel said so.</summary>
    Exception? Failure => null;

    /// <summary>
    /// Makes the current <see cref="Run"/> or <see cref="WaitWhileHalted"/> return, or the next one return at once: sticky until
    /// consumed by one return with <see cref="VpExitReason.Kicked"/>.
    /// </summary>
    void Kick();

    /// <summary>
    /// After <see cref="VpExitReason.Halted"/>: blocks until an interrupt, NMI, INIT/SIPI or kick is there, or the time is over.
    /// Returns at once on backends that wait inside <see cref="Run"/>.
    /// </summary>
    void WaitWhileHalted(TimeSpan timeout);

    /// <summary>Delivers a non-maskable interrupt.</summary>
    void InjectNmi();

    /// <summary>General-purpose registers, RIP and RFLAGS.</summary>
    GeneralRegisters GetGeneralRegisters();

    /// <inheritdoc cref="GetGeneralRegisters"/>
    void SetGeneralRegisters(in GeneralRegisters registers);

    /// <summary>Segments, descriptor tables, control registers, EFER, APIC base.</summary>
    SystemRegisters GetSystemRegisters();

    /// <inheritdoc cref="GetSystemRegisters"/>
    void SetSystemRegisters(in SystemRegisters registers);

    /// <summary>Reads a model-specific register; false where the backend does not know it.</summary>
    bool TryGetMsr(uint index, out ulong value);

    /// <summary>Writes a model-specific register; false where the backend refuses it.</summary>
    bool TrySetMsr(uint index, ulong value);

    /// <summary>Copies the XSAVE image in standard format (at least the 512-byte legacy area and 64-byte header); returns its length.</summary>
    int GetExtendedState(Span<byte> xsave);

    /// <summary>Sets it from such an image.</summary>
    void SetExtendedState(ReadOnlySpan<byte> xsave);

    /// <summary>What it counted; null where the hardware executes the guest. Any thread, and after disposal.</summary>
    VirtualProcessorCounters? GetCounters() => null;

    /// <summary>The guest's code at an address beside the host code made of it; null where the hardware executes the guest.</summary>
    /// <param name="address">Linear address; null takes the place where the processor goes on.</param>
    IReadOnlyList<GuestTranslationLine>? DescribeTranslation(ulong? address) => null;

    /// <summary>Puts the processor into the state after INIT: processor 0 at its reset vector, others waiting for SIPI.</summary>
    void Reset();
}

/// <summary>Why <see cref="IVirtualProcessor.Run"/> came back.</summary>
public enum VpExitReason
{
    /// <summary>A kick, a signal, or a scheduler's slice over.</summary>
    Kicked,

    /// <summary>HLT with nothing pending, or waiting for a start-up IPI: call <see cref="IVirtualProcessor.WaitWhileHalted"/>.</summary>
    Halted,

    /// <summary>A triple fault.</summary>
    Shutdown,

    /// <summary>The backend cannot go on with this processor; <see cref="VpExit.Detail"/> says why.</summary>
    InternalError,
}

/// <summary>An exit of a virtual processor.</summary>
/// <param name="Reason">Why.</param>
/// <param name="Detail">Backend's own code for <see cref="VpExitReason.InternalError"/>, otherwise 0.</param>
public readonly record struct VpExit(VpExitReason Reason, ulong Detail = 0);
