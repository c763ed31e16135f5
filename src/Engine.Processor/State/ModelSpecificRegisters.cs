namespace Hypervisor.Engine.Processor;

/// <summary>Model-specific registers that only hold a value or select addresses.</summary>
internal sealed class ModelSpecificRegisters
{
    public ulong Star, Lstar, Cstar, SyscallMask, KernelGsBase, TscAux, TscOffset, SysenterCs, SysenterEsp, SysenterEip, Pat, MiscEnable;

    public ulong MtrrDefault;

    public void Reset()
    {
        Star = Lstar = Cstar = SyscallMask = KernelGsBase = TscAux = TscOffset = SysenterCs = SysenterEsp = SysenterEip = 0;
        Pat = 0x0007_0406_0007_0406;
        MiscEnable = 1;
        MtrrDefault = 0;
    }
}
