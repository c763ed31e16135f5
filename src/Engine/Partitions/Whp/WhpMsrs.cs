using Hypervisor.Engine.Native.Whp;

namespace Hypervisor.Engine.Partitions.Whp;

/// <summary>Which of the platform's registers is which model-specific register (Intel SDM vol. 4, AMD APM vol. 2, appendix A).</summary>
internal static class WhpMsrs
{
    /// <summary>Those that a reset returns to their power-on values.</summary>
    internal static ReadOnlySpan<uint> Resettable =>
        [0x174, 0x175, 0x176, 0x277, 0x2FF, 0xC000_0081, 0xC000_0082, 0xC000_0083, 0xC000_0084, 0xC000_0102, 0xC000_0103];

    internal static WhpRegister? Find(uint index) => index switch
    {
        0x10 => WhpRegister.Tsc,
        0x1B => WhpRegister.ApicBase,
        0x3B => WhpRegister.TscAdjust,
        0x48 => WhpRegister.SpecCtrl,
        0xFE => WhpRegister.MtrrCap,
        0x174 => WhpRegister.SysenterCs,
        0x175 => WhpRegister.SysenterEsp,
        0x176 => WhpRegister.SysenterEip,
        >= 0x200 and < 0x220 => (index & 1) == 0 ? WhpRegister.MtrrPhysBase0 + ((index - 0x200) >> 1) : WhpRegister.MtrrPhysMask0 + ((index - 0x200) >> 1),
        0x250 => WhpRegister.MtrrFix64k00000,
        0x258 => WhpRegister.MtrrFix16k80000,
        0x259 => WhpRegister.MtrrFix16kA0000,
        >= 0x268 and <= 0x26F => WhpRegister.MtrrFix4kC0000 + (index - 0x268),
        0x277 => WhpRegister.Pat,
        0x2FF => WhpRegister.MtrrDefType,
        0x6E0 => WhpRegister.TscDeadline,
        0xC000_0080 => WhpRegister.Efer,
        0xC000_0081 => WhpRegister.Star,
        0xC000_0082 => WhpRegister.Lstar,
        0xC000_0083 => WhpRegister.Cstar,
        0xC000_0084 => WhpRegister.Sfmask,
        0xC000_0102 => WhpRegister.KernelGsBase,
        0xC000_0103 => WhpRegister.TscAux,
        _ => null,
    };
}
