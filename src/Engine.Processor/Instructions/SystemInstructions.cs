using Iced.Intel;

namespace Hypervisor.Engine.Processor;

/// <summary>Instructions of operating systems (Intel SDM vol. 3A, chapter 2, and vol. 2), registered family by family.</summary>
internal static unsafe partial class SystemInstructions
{
    public static void Register(InstructionTable.Builder table)
    {
        RegisterControl(table);
        RegisterTables(table);
        RegisterSegments(table);
        RegisterTransfers(table);
        RegisterFeatures(table);
        RegisterPorts(table);
    }

    /// <summary>Instructions after which nothing decoded before may be relied upon.</summary>
    public static bool EndsBlock(Code code) => code is Code.Mov_cr_r32 or Code.Mov_cr_r64 or Code.Wrmsr or Code.Hlt or Code.Popfw or Code.Popfd
        or Code.Popfq or Code.Invlpg_m or Code.Lmsw_rm16 or Code.Lmsw_r32m16 or Code.Lmsw_r64m16 or Code.Xsetbv or Code.Stac or Code.Clac
        or Code.Invpcid_r32_m128 or Code.Invpcid_r64_m128 or Code.INVALID;

    /// <summary>IN, OUT and their string forms.</summary>
    public static bool AccessesPort(Code code) => code is Code.In_AL_imm8 or Code.In_AX_imm8 or Code.In_EAX_imm8 or Code.In_AL_DX or Code.In_AX_DX
        or Code.In_EAX_DX or Code.Out_imm8_AL or Code.Out_imm8_AX or Code.Out_imm8_EAX or Code.Out_DX_AL or Code.Out_DX_AX or Code.Out_DX_EAX
        or Code.Insb_m8_DX or Code.Insw_m16_DX or Code.Insd_m32_DX or Code.Outsb_DX_m8 or Code.Outsw_DX_m16 or Code.Outsd_DX_m32;

    internal static void RequireKernel(X86Processor cpu)
    {
        if (cpu.Cpl != 0)
        {
            cpu.RaiseGeneralProtection();
        }
    }

    // SGDT, SIDT, SLDT, STR and SMSW tell user code nothing when UMIP is on.
    private static void RequireInformation(X86Processor cpu)
    {
        if (cpu.Cpl != 0 && (cpu.State->Cr4 & X86Processor.Cr4Umip) != 0)
        {
            cpu.RaiseGeneralProtection();
        }
    }

    private static void RequireProtected(X86Processor cpu)
    {
        if (cpu.IsRealOrVirtual8086)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }
    }

    private static ulong RegisterOperand(X86Processor cpu, byte register) => *(ulong*)((byte*)cpu.State + register);

    private static ushort SelectorOperand(X86Processor cpu, DecodedInstruction* i, byte register) =>
        (i->Flags & InstructionFlags.Memory) != 0 ? cpu.ReadOperand<ushort>(i) : (ushort)RegisterOperand(cpu, register);

    // Stores a 16-bit system value: memory gets 16 bits, a register its operand size.
    private static void StoreWord(X86Processor cpu, DecodedInstruction* i, ulong value, int size)
    {
        if ((i->Flags & InstructionFlags.Memory) != 0)
        {
            cpu.WriteOperand(i, (ushort)value);
        }
        else if (size == 2)
        {
            Width.Set(cpu.State, i->Reg0, (ushort)value);
        }
        else
        {
            Width.Set(cpu.State, i->Reg0, size == 4 ? (uint)value : value);
        }
    }
}
