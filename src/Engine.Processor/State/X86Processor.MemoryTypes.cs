namespace Hypervisor.Engine.Processor;

// Memory-type range registers and the page attribute table (Intel SDM vol. 3A, 12.11 and 12.12). All memory is write-back here and
// all devices uncached, whatever they say; what may be written into them is checked as on a real processor.
public sealed unsafe partial class X86Processor
{
    private const uint MtrrCapability = 0xFE, MtrrVariableFirst = 0x200, PatMsr = 0x277, MtrrDefaultType = 0x2FF;
    private const uint MtrrVariableLast = MtrrVariableFirst + (2 * ModelSpecificRegisters.VariableRanges) - 1;

    // Write combining and fixed ranges; the number of variable ones in the low byte.
    private const ulong MtrrCapabilities = 0x500 | ModelSpecificRegisters.VariableRanges;

    private const ulong MtrrDefaultDefined = 0xCFF, MtrrMaskValid = 1 << 11, MemoryTypeMask = 0xFF;

    private bool TryReadMemoryType(uint index, out ulong value)
    {
        switch (index)
        {
            case MtrrCapability:
                value = MtrrCapabilities;
                return true;
            case PatMsr:
                value = _msrs.Pat;
                return true;
            case MtrrDefaultType:
                value = _msrs.MtrrDefault;
                return true;
            case >= MtrrVariableFirst and <= MtrrVariableLast:
                value = _msrs.MtrrVariable[index - MtrrVariableFirst];
                return true;
        }

        int range = FixedRange(index);
        value = range >= 0 ? _msrs.MtrrFixed[range] : 0;
        return range >= 0;
    }

    private bool TryWriteMemoryType(uint index, ulong value)
    {
        switch (index)
        {
            case PatMsr:
                return SetIf(AreTypes(value, allowUncachedMinus: true), ref _msrs.Pat, value);
            case MtrrDefaultType:
                return SetIf((value & ~MtrrDefaultDefined) == 0 && IsRangeType(value), ref _msrs.MtrrDefault, value);
            case >= MtrrVariableFirst and <= MtrrVariableLast:
                // Even: the base with its type; odd: the mask with its valid bit.
                ulong defined = _physicalMask & ~PageMask | ((index & 1) == 0 ? MemoryTypeMask : MtrrMaskValid);
                bool valid = (value & ~defined) == 0 && ((index & 1) != 0 || IsRangeType(value));
                return SetIf(valid, ref _msrs.MtrrVariable[index - MtrrVariableFirst], value);
        }

        int range = FixedRange(index);
        return range >= 0 && SetIf(AreTypes(value, allowUncachedMinus: false), ref _msrs.MtrrFixed[range], value);
    }

    private static int FixedRange(uint index) => index switch
    {
        0x250 => 0,
        0x258 => 1,
        0x259 => 2,
        >= 0x268 and <= 0x26F => (int)(index - 0x268) + 3,
        _ => -1,
    };

    // UC, WC, WT, WP, WB.
    private static bool IsRangeType(ulong value) => (byte)value is 0 or 1 or 4 or 5 or 6;

    private static bool AreTypes(ulong value, bool allowUncachedMinus)
    {
        for (int n = 0; n < 64; n += 8)
        {
            if (!IsRangeType(value >> n) && !(allowUncachedMinus && (byte)(value >> n) == 7))
            {
                return false;
            }
        }

        return true;
    }

    private static bool SetIf(bool valid, ref ulong place, ulong value)
    {
        if (valid)
        {
            place = value;
        }

        return valid;
    }
}
