using Hypervisor.Engine.Native;

namespace Hypervisor.Engine.Processor;

/// <summary>
/// The native memory of one processor in one piece, so that translated code reaches all of it from one pointer: room for a stack,
/// then the state, the translation buffers, and the tables of branch targets.
/// </summary>
/// <remarks>
/// While translated code runs, the stack pointer points into the state (see <see cref="StackBias"/>), and signal handlers of the
/// operating system and the runtime find their stack below it.
/// </remarks>
internal sealed unsafe class ProcessorMemory : IDisposable
{
    /// <summary>What the stack pointer is above the state; its low six bits shift an address to its page number (SHRX).</summary>
    public const int StackBias = TranslationBuffer.PageBits;

    private const int StackBytes = 256 << 10, StateBytes = 4096;
    private const int BufferBytes = TranslationBuffer.Sets * TranslationBuffer.SetLength * sizeof(ulong);

    /// <summary>Bytes that all of it takes.</summary>
    public const int Bytes = StackBytes + StateBytes + BufferBytes + TargetTable.Bytes;

    private readonly AnonymousMemory _memory = AnonymousMemory.Allocate(Bytes);

    /// <summary>The architectural state, at the start of a page.</summary>
    public CpuState* State => (CpuState*)(_memory.Address + StackBytes);

    /// <summary>The translation buffers, <see cref="TranslationBuffer.Sets"/> sets.</summary>
    public ulong* TranslationBuffers => (ulong*)(_memory.Address + StackBytes + StateBytes);

    /// <summary>The tables of branch targets, <see cref="TargetTable.Tables"/> of them.</summary>
    public byte* TargetTables => (byte*)(_memory.Address + StackBytes + StateBytes + BufferBytes);

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();
}
