using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

// 32-bit code is translated for flat segments only. Whether they are is looked up wherever translated code is entered: it cannot load
// a segment register itself, and nothing that can needs to tell anybody.
public sealed unsafe partial class X86Processor
{
    private const uint FlatData = SegmentState.Present | SegmentState.NonSystem | SegmentState.Writable,
        FlatDataMask = FlatData | SegmentState.Unusable | SegmentState.Code | SegmentState.ExpandDown,
        FlatCode = SegmentState.Present | SegmentState.Code | SegmentState.Big,
        FlatCodeMask = FlatCode | SegmentState.Unusable;

    /// <summary>Translations may be run now: in 64-bit code, and in 32-bit code whose segments are flat.</summary>
    private bool MayTranslate
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => _is64Bit || IsFlat();
    }

    // CS, SS, DS and ES begin at 0 and end at 4 GB, the latter three can be read and written, and code and stack are 32 bits wide
    // (Intel SDM vol. 3A, 3.2.1).
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private bool IsFlat()
    {
        ref SegmentState cs = ref State->Segments[(int)SegmentName.Cs], ss = ref State->Segments[(int)SegmentName.Ss];
        ref SegmentState ds = ref State->Segments[(int)SegmentName.Ds], es = ref State->Segments[(int)SegmentName.Es];
        uint data = (ss.Attributes ^ FlatData) | (ds.Attributes ^ FlatData) | (es.Attributes ^ FlatData);
        return (cs.Base | ss.Base | ds.Base | es.Base) == 0
            && (cs.Limit & ss.Limit & ds.Limit & es.Limit) == uint.MaxValue
            && (data & FlatDataMask) == 0
            && (cs.Attributes & FlatCodeMask) == FlatCode
            && (ss.Attributes & SegmentState.Big) != 0
            && !_isRealOrVirtual8086;
    }

    // What translated 32-bit code may do with FS and GS, whatever their bases are.
    private void DeriveBasedSegments()
    {
        State->FsUnusable = IsWhole(ref State->Segments[(int)SegmentName.Fs]) ? (byte)0 : (byte)1;
        State->GsUnusable = IsWhole(ref State->Segments[(int)SegmentName.Gs]) ? (byte)0 : (byte)1;
    }

    private static bool IsWhole(ref SegmentState segment) =>
        segment.Limit == uint.MaxValue && (segment.Attributes & FlatDataMask) == FlatData;
}
