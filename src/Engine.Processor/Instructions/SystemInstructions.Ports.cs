namespace Hypervisor.Engine.Processor;

// IN and OUT.
internal static unsafe partial class SystemInstructions
{
    private static void RegisterPorts(InstructionTable.Builder table)
    {
        table.Set(table.Named("In_AL_imm8"), &InImmediate1);
        table.Set(table.Named("In_AX_imm8"), &InImmediate2);
        table.Set(table.Named("In_EAX_imm8"), &InImmediate4);
        table.Set(table.Named("In_AL_DX"), &In1);
        table.Set(table.Named("In_AX_DX"), &In2);
        table.Set(table.Named("In_EAX_DX"), &In4);
        table.Set(table.Named("Out_imm8_AL"), &OutImmediate1);
        table.Set(table.Named("Out_imm8_AX"), &OutImmediate2);
        table.Set(table.Named("Out_imm8_EAX"), &OutImmediate4);
        table.Set(table.Named("Out_DX_AL"), &Out1);
        table.Set(table.Named("Out_DX_AX"), &Out2);
        table.Set(table.Named("Out_DX_EAX"), &Out4);
    }

    private static DecodedInstruction* In(X86Processor cpu, DecodedInstruction* i, ushort port, int size)
    {
        cpu.CheckPort(port, size);
        uint value = cpu.ReadPort(port, size);
        switch (size)
        {
            case 1: *(byte*)cpu.State = (byte)value; break;
            case 2: *(ushort*)cpu.State = (ushort)value; break;
            default: cpu.State->Gpr[0] = value; break;
        }

        return i + 1;
    }

    private static DecodedInstruction* Out(X86Processor cpu, DecodedInstruction* i, ushort port, int size)
    {
        cpu.CheckPort(port, size);
        uint value = (uint)cpu.State->Gpr[0];
        cpu.WritePort(port, size, size == 1 ? (byte)value : size == 2 ? (ushort)value : value);
        return i + 1;
    }

    private static DecodedInstruction* InImmediate1(X86Processor cpu, DecodedInstruction* i) => In(cpu, i, (byte)i->Immediate, 1);

    private static DecodedInstruction* InImmediate2(X86Processor cpu, DecodedInstruction* i) => In(cpu, i, (byte)i->Immediate, 2);

    private static DecodedInstruction* InImmediate4(X86Processor cpu, DecodedInstruction* i) => In(cpu, i, (byte)i->Immediate, 4);

    private static DecodedInstruction* In1(X86Processor cpu, DecodedInstruction* i) => In(cpu, i, (ushort)cpu.State->Gpr[2], 1);

    private static DecodedInstruction* In2(X86Processor cpu, DecodedInstruction* i) => In(cpu, i, (ushort)cpu.State->Gpr[2], 2);

    private static DecodedInstruction* In4(X86Processor cpu, DecodedInstruction* i) => In(cpu, i, (ushort)cpu.State->Gpr[2], 4);

    private static DecodedInstruction* OutImmediate1(X86Processor cpu, DecodedInstruction* i) => Out(cpu, i, (byte)i->Immediate, 1);

    private static DecodedInstruction* OutImmediate2(X86Processor cpu, DecodedInstruction* i) => Out(cpu, i, (byte)i->Immediate, 2);

    private static DecodedInstruction* OutImmediate4(X86Processor cpu, DecodedInstruction* i) => Out(cpu, i, (byte)i->Immediate, 4);

    private static DecodedInstruction* Out1(X86Processor cpu, DecodedInstruction* i) => Out(cpu, i, (ushort)cpu.State->Gpr[2], 1);

    private static DecodedInstruction* Out2(X86Processor cpu, DecodedInstruction* i) => Out(cpu, i, (ushort)cpu.State->Gpr[2], 2);

    private static DecodedInstruction* Out4(X86Processor cpu, DecodedInstruction* i) => Out(cpu, i, (ushort)cpu.State->Gpr[2], 4);
}
