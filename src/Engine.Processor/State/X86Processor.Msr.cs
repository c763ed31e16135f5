namespace Hypervisor.Engine.Processor;

// RDMSR and WRMSR.
public sealed unsafe partial class X86Processor
{
    private readonly ModelSpecificRegisters _msrs = new();

    private bool ReadMsr(uint index, out ulong value)
    {
        value = index == 0xC000_0080 ? State->Efer : 0;
        return index == 0xC000_0080;
    }

    private bool WriteMsr(uint index, ulong value)
    {
        return index == 0xC000_0080 && value == State->Efer;
    }
}
