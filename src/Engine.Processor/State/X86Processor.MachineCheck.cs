namespace Hypervisor.Engine.Processor;

// The machine-check architecture (Intel SDM vol. 3B, 16.3): banks that can be programmed and never report anything.
public sealed unsafe partial class X86Processor
{
    private const uint MachineCheckAddress = 0, MachineCheckType = 1, MachineCheckCapability = 0x179, MachineCheckStatus = 0x17A,
        MachineCheckControl = 0x17B, MachineCheckBankFirst = 0x400;

    private const uint MachineCheckBankLast = MachineCheckBankFirst + (4 * ModelSpecificRegisters.MachineCheckBanks) - 1;

    // MCG_CTL_P: there is a global control register.
    private const ulong MachineCheckCapabilities = 0x100 | ModelSpecificRegisters.MachineCheckBanks;

    // RIPV, EIPV, MCIP.
    private const ulong MachineCheckStatusDefined = 7;

    private bool TryReadMachineCheck(uint index, out ulong value)
    {
        value = 0;
        switch (index)
        {
            case MachineCheckAddress or MachineCheckType:
                return true;
            case MachineCheckCapability:
                value = MachineCheckCapabilities;
                return true;
            case MachineCheckStatus:
                value = _msrs.MachineCheckStatus;
                return true;
            case MachineCheckControl:
                value = _msrs.MachineCheckControl;
                return true;
            case >= MachineCheckBankFirst and <= MachineCheckBankLast:
                // Control, status, address, miscellaneous: only the first ever holds anything.
                value = (index & 3) == 0 ? _msrs.MachineCheckBankControl[(index - MachineCheckBankFirst) >> 2] : 0;
                return true;
            default:
                return false;
        }
    }

    private bool TryWriteMachineCheck(uint index, ulong value)
    {
        switch (index)
        {
            case MachineCheckAddress or MachineCheckType:
                return true;
            case MachineCheckStatus:
                return SetIf((value & ~MachineCheckStatusDefined) == 0, ref _msrs.MachineCheckStatus, value);
            case MachineCheckControl:
                _msrs.MachineCheckControl = value;
                return true;
            case >= MachineCheckBankFirst and <= MachineCheckBankLast when (index & 3) == 0:
                _msrs.MachineCheckBankControl[(index - MachineCheckBankFirst) >> 2] = value;
                return true;
            case >= MachineCheckBankFirst and <= MachineCheckBankLast:
                // Status, address and miscellaneous can only be cleared (vol. 3B, 16.3.2.2 to 16.3.2.4).
                return value == 0;
            default:
                return false;
        }
    }
}
