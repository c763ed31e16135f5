using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Processor.Translation;

namespace Hypervisor.Engine.Processor;

/// <summary>
/// The architectural state of one processor, in native memory so that handlers and translated code address it by offset from one
/// pointer. General registers come first: an operand's register number is its byte offset here, so that AH is offset 1.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct CpuState
{
    /// <summary>RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 … R15.</summary>
    public fixed ulong Gpr[16];

    /// <summary>Always zero: the base or index of an address that has none.</summary>
    public ulong Zero;

    /// <summary>RIP of the running block's first instruction: the base of RIP-relative addresses and branches.</summary>
    public ulong BlockRip;

    /// <summary>The instruction that runs, for exact exceptions.</summary>
    public DecodedInstruction* Current;

    /// <summary>See <see cref="LazyFlags"/>: the last result, sign-extended.</summary>
    public long FlagResult;

    /// <summary>See <see cref="LazyFlags"/>: carries and deltas.</summary>
    public ulong FlagAux;

    /// <summary>All other bits of RFLAGS, the arithmetic ones zero.</summary>
    public ulong SystemFlags;

    /// <summary>The translation buffer of the current privilege; see <see cref="TranslationBuffer"/>.</summary>
    public ulong* Tlb;

    /// <summary>Bits of <see cref="Hypervisor.Engine.Processor.Attention"/>; other threads set them atomically.</summary>
    public int Attention;

    /// <summary>Current privilege level.</summary>
    public int Cpl;

    /// <summary>RIP where the next block starts; valid between blocks.</summary>
    public ulong Rip;

    /// <summary>RIP at which interrupts are still held back by STI or a load of SS; all ones for none.</summary>
    public ulong ShadowRip;

    /// <summary>Instructions retired.</summary>
    public ulong Retired;

    /// <summary>Segment registers in encoding order: ES, CS, SS, DS, FS, GS, then LDTR and TR.</summary>
    public SegmentFile Segments;

    /// <summary>Descriptor-table registers.</summary>
    public ulong GdtBase, IdtBase;

    /// <summary>Limits of the descriptor tables in bytes.</summary>
    public uint GdtLimit, IdtLimit;

    /// <summary>Control registers and EFER.</summary>
    public ulong Cr0, Cr2, Cr3, Cr4, Efer;

    /// <summary>XCR0.</summary>
    public ulong Xcr0;

    /// <summary>Debug registers 0 to 7 (4 and 5 unused).</summary>
    public fixed ulong Debug[8];

    /// <summary>MXCSR.</summary>
    public uint Mxcsr;

    /// <summary>x87 control word, status word (with TOP), full tag bits (bit n set: physical register n is in use), last opcode.</summary>
    public ushort X87Control, X87Status, X87Valid, X87Opcode;

    /// <summary>x87 last instruction and data pointers.</summary>
    public ulong X87InstructionPointer, X87DataPointer;

    /// <summary>The eight physical x87 registers; MMX register n is the mantissa of physical register n.</summary>
    public X87File X87;

    /// <summary>Sixteen vector registers of 32 bytes; the low half is XMM.</summary>
    public VectorFile Vectors;

    /// <summary>IA32_KERNEL_GS_BASE: what SWAPGS exchanges with the base of GS.</summary>
    public ulong KernelGsBase;

    /// <summary>In translated code: the linear address of the page that runs.</summary>
    public ulong PageRip;

    /// <summary>The host's stack pointer while translated code runs.</summary>
    public ulong HostStack;

    /// <summary>Where translated code is to be entered, and where it left.</summary>
    public byte* EntryTarget, ExitAddress;

    /// <summary>The translated block that left, or the link that wants filling.</summary>
    public void* ExitRecord;

    /// <summary>The arithmetic flags as LAHF and SETO AL leave them in RAX.</summary>
    public ulong NativeFlags;

    /// <summary>Selects the translation buffer's index from an address (PEXT).</summary>
    public ulong IndexMask;

    /// <summary>A value between two accesses of one instruction.</summary>
    public ulong Temporary;

    /// <summary>A <see cref="TranslatedExit"/>.</summary>
    public int ExitKind;

    /// <summary>MXCSR of the code outside.</summary>
    public uint HostMxcsr;

    /// <summary>1 while the vector registers are in memory and not in the host's; of the second, also when AVX is not allowed.</summary>
    public byte SseAbsent, AvxAbsent;

    /// <summary>1 where the guest's control registers allow SSE and AVX, and MXCSR masks all exceptions.</summary>
    public byte SseAllowed, AvxAllowed;

    /// <summary>1 while an interrupt may wait only for IF: whatever sets that must ask for attention then, and STI is for the interpreter.</summary>
    public byte InterruptHeld;

    /// <summary>
    /// For 32-bit code: not 0 where the segment in FS, or GS, is not one of 4 GB that may be read and written. Translated code is entered with
    /// what is true then, and does not change it.
    /// </summary>
    public byte FsUnusable, GsUnusable;

    /// <summary>Masks: a bit's number within 4 and 8 bytes, and the arithmetic flags.</summary>
    public ulong BitIndex32, BitIndex64, FlagsMask;

    /// <summary>Indexed by the second byte of RFLAGS: the same without IF.</summary>
    public fixed byte WithoutInterrupt[256];

    /// <summary>Indexed by the same byte: not 0 where DF is set.</summary>
    public fixed byte Downwards[256];

    /// <summary>Indexed by an address's low byte: 0 where it is a multiple of 16, and of 32.</summary>
    public fixed byte Misaligned16[256], Misaligned32[256];

    /// <summary>What the block that runs keeps of its windows: host address minus linear address.</summary>
    public fixed ulong Windows[WindowAnalysis.MaximumWindows];
}

/// <summary>An x87 register: 64-bit significand with explicit integer bit, sign and biased exponent.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct X87Register
{
    public ulong Mantissa;
    public ushort SignExponent;
    private readonly ushort _padding0;
    private readonly uint _padding1;
}

/// <summary>The x87 register file.</summary>
[InlineArray(8)]
internal struct X87File
{
    private X87Register _first;
}

/// <summary>The vector register file, in units of 16 bytes: XMM n is element 2n, the upper half of YMM n element 2n+1.</summary>
[InlineArray(32)]
internal struct VectorFile
{
    private System.Runtime.Intrinsics.Vector128<byte> _first;
}

/// <summary>The segment registers with their hidden parts.</summary>
[InlineArray(8)]
internal struct SegmentFile
{
    private SegmentState _first;
}
