using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor.Translation;

/// <summary>Byte offsets in <see cref="CpuState"/> that translated code uses.</summary>
internal static unsafe class StateLayout
{
    // One that exists: the compiler checks an address that it takes a field of. First, because fields are initialised in order.
    private static readonly CpuState* Model = (CpuState*)NativeMemory.AllocZeroed((nuint)sizeof(CpuState));

    public static readonly int Attention = Offset(&Model->Attention);
    public static readonly int Rip = Offset(&Model->Rip);
    public static readonly int Mxcsr = Offset(&Model->Mxcsr);
    public static readonly int Vectors = Offset(&Model->Vectors);
    public static readonly int PageRip = Offset(&Model->PageRip);
    public static readonly int HostStack = Offset(&Model->HostStack);
    public static readonly int EntryTarget = Offset(&Model->EntryTarget);
    public static readonly int ExitAddress = Offset(&Model->ExitAddress);
    public static readonly int ExitRecord = Offset(&Model->ExitRecord);
    public static readonly int ExitKind = Offset(&Model->ExitKind);
    public static readonly int NativeFlags = Offset(&Model->NativeFlags);
    public static readonly int HostMxcsr = Offset(&Model->HostMxcsr);
    public static readonly int IndexMask = Offset(&Model->IndexMask);
    public static readonly int Temporary = Offset(&Model->Temporary);
    public static readonly int SseAbsent = Offset(&Model->SseAbsent);
    public static readonly int AvxAbsent = Offset(&Model->AvxAbsent);
    public static readonly int SseAllowed = Offset(&Model->SseAllowed);
    public static readonly int AvxAllowed = Offset(&Model->AvxAllowed);
    public static readonly int SystemFlags = Offset(&Model->SystemFlags);
    public static readonly int Tlb = Offset(&Model->Tlb);
    public static readonly int InterruptHeld = Offset(&Model->InterruptHeld);
    public static readonly int FsUnusable = Offset(&Model->FsUnusable);
    public static readonly int GsUnusable = Offset(&Model->GsUnusable);
    public static readonly int BitIndex32 = Offset(&Model->BitIndex32);
    public static readonly int BitIndex64 = Offset(&Model->BitIndex64);
    public static readonly int FlagsMask = Offset(&Model->FlagsMask);
    public static readonly int WithoutInterrupt = Offset(Model->WithoutInterrupt);
    public static readonly int Downwards = Offset(Model->Downwards);
    public static readonly int Cr0 = Offset(&Model->Cr0);
    public static readonly int Cr2 = Offset(&Model->Cr2);
    public static readonly int Cr3 = Offset(&Model->Cr3);
    public static readonly int Cr4 = Offset(&Model->Cr4);
    public static readonly int KernelGsBase = Offset(&Model->KernelGsBase);
    public static readonly int Windows = Offset(Model->Windows);
    public static readonly int Misaligned16 = Offset(Model->Misaligned16);
    public static readonly int Misaligned32 = Offset(Model->Misaligned32);

    public static int Register(int number) => number * sizeof(ulong);

    public static int SegmentBase(SegmentName name) => Offset(&Model->Segments) + ((int)name * sizeof(SegmentState));

    public static int Selector(int segment) => SegmentBase((SegmentName)segment) + Offset(&Model->Segments[0].Selector) - Offset(&Model->Segments);

    private static int Offset(void* field) => (int)((byte*)field - (byte*)Model);
}
