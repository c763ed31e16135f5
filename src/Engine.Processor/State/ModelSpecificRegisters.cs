namespace Hypervisor.Engine.Processor;

/// <summary>Model-specific registers that only hold a value or select addresses.</summary>
internal sealed class ModelSpecificRegisters
{
    public const int VariableRanges = 8;

    public const int MachineCheckBanks = 10;

    public ulong Star, Lstar, Cstar, SyscallMask, TscAux, TscAdjust, SysenterCs, SysenterEsp, SysenterEip, Pat, MiscEnable,
        FeatureControl, SpeculationControl, MtrrDefault, MicrocodeRevision, MachineCheckStatus, MachineCheckControl;

    /// <summary>Base and mask of each variable range.</summary>
    public readonly ulong[] MtrrVariable = new ulong[VariableRanges * 2];

    /// <summary>64 KB, 2 × 16 KB and 8 × 4 KB fixed ranges.</summary>
    public readonly ulong[] MtrrFixed = new ulong[11];

    /// <summary>IA32_MCi_CTL of each bank.</summary>
    public readonly ulong[] MachineCheckBankControl = new ulong[MachineCheckBanks];

    public void Reset()
    {
        Star = Lstar = Cstar = SyscallMask = TscAux = TscAdjust = SysenterCs = SysenterEsp = SysenterEip = 0;
        SpeculationControl = 0;
        Pat = 0x0007_0406_0007_0406;
        // Fast strings.
        MiscEnable = 1;
        // Locked, with nothing enabled.
        FeatureControl = 1;
        // Everything is write-back here, and says so.
        MtrrDefault = 0x806;
        MicrocodeRevision = 1ul << 32;
        Array.Clear(MtrrVariable);
        Array.Clear(MtrrFixed);
        MachineCheckStatus = MachineCheckControl = 0;
        Array.Clear(MachineCheckBankControl);
    }
}
