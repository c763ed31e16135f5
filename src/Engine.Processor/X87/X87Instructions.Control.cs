using Iced.Intel;

namespace Hypervisor.Engine.Processor;

// Control and status words, environment, the stack pointer.
internal static unsafe partial class X87Instructions
{
    private const int ShortEnvironment = 14;
    private const int LongEnvironment = 28;
    private const int RegisterBytes = 80;

    private static void RegisterControl(InstructionTable.Builder table)
    {
        table.Set(Code.Wait, &Wait);
        table.Set(Code.Fninit, &Initialize);
        table.Set(Code.Fnclex, &ClearExceptions);
        table.Set(Code.Fldcw_m2byte, &LoadControl);
        table.Set(Code.Fnstcw_m2byte, &StoreControl);
        table.Set(Code.Fnstsw_m2byte, &StoreStatus);
        table.Set(Code.Fnstsw_AX, &StoreStatusToAx);
        table.Set(Code.Fnstenv_m14byte, &StoreEnvironment);
        table.Set(Code.Fnstenv_m28byte, &StoreEnvironment);
        table.Set(Code.Fldenv_m14byte, &LoadEnvironment);
        table.Set(Code.Fldenv_m28byte, &LoadEnvironment);
        table.Set(Code.Fnsave_m94byte, &Save);
        table.Set(Code.Fnsave_m108byte, &Save);
        table.Set(Code.Frstor_m94byte, &Restore);
        table.Set(Code.Frstor_m108byte, &Restore);
        table.Set(Code.Fnop, &NoOperation);
        table.Set(Code.Fneni, &NoOperationControl);
        table.Set(Code.Fndisi, &NoOperationControl);
        table.Set(Code.Fnsetpm, &NoOperationControl);
        table.Set(Code.Fincstp, &IncrementTop);
        table.Set(Code.Fdecstp, &DecrementTop);
        table.Set(Code.Ffree_sti, &Free);
        table.Set(Code.Ffreep_sti, &FreeAndPop);
    }

    private static DecodedInstruction* Wait(X86Processor cpu, DecodedInstruction* i)
    {
        const ulong monitored = X86Processor.Cr0Mp | X86Processor.Cr0Ts;
        if ((cpu.State->Cr0 & monitored) == monitored)
        {
            cpu.Raise(Vector.DeviceNotAvailable);
        }

        RaisePending(cpu);
        return i + 1;
    }

    private static DecodedInstruction* Initialize(X86Processor cpu, DecodedInstruction* i)
    {
        EnterControl(cpu);
        X87State.Initialize(cpu.State);
        return i + 1;
    }

    private static DecodedInstruction* ClearExceptions(X86Processor cpu, DecodedInstruction* i)
    {
        EnterControl(cpu);
        cpu.State->X87Status &= 0x7F00;
        return i + 1;
    }

    private static DecodedInstruction* LoadControl(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        X87State.SetControl(cpu.State, cpu.ReadOperand<ushort>(i));
        return i + 1;
    }

    private static DecodedInstruction* StoreControl(X86Processor cpu, DecodedInstruction* i)
    {
        EnterControl(cpu);
        cpu.WriteOperand(i, cpu.State->X87Control);
        return i + 1;
    }

    private static DecodedInstruction* StoreStatus(X86Processor cpu, DecodedInstruction* i)
    {
        EnterControl(cpu);
        cpu.WriteOperand(i, cpu.State->X87Status);
        return i + 1;
    }

    private static DecodedInstruction* StoreStatusToAx(X86Processor cpu, DecodedInstruction* i)
    {
        EnterControl(cpu);
        cpu.Register<ushort>(0) = cpu.State->X87Status;
        return i + 1;
    }

    private static bool IsShort(DecodedInstruction* i) => i->Code
        is Code.Fnstenv_m14byte or Code.Fldenv_m14byte or Code.Fnsave_m94byte or Code.Frstor_m94byte;

    // The protected-mode layouts (SDM vol. 1, figures 8-9 and 8-11); selectors are zero, as CPUID 7.EBX[13] says.
    private static void FillEnvironment(X86Processor cpu, byte* area, bool isShort)
    {
        CpuState* state = cpu.State;
        if ((state->X87Status & X87State.ErrorSummary) != 0)
        {
            cpu.NoteFloatOpcode();
        }

        if (isShort)
        {
            ushort* words = (ushort*)area;
            words[0] = state->X87Control;
            words[1] = state->X87Status;
            words[2] = X87State.FullTags(state);
            words[3] = (ushort)state->X87InstructionPointer;
            words[4] = 0;
            words[5] = (ushort)state->X87DataPointer;
            words[6] = 0;
        }
        else
        {
            const uint unused = 0xFFFF_0000;
            uint* dwords = (uint*)area;
            dwords[0] = state->X87Control | unused;
            dwords[1] = state->X87Status | unused;
            dwords[2] = X87State.FullTags(state) | unused;
            dwords[3] = (uint)state->X87InstructionPointer;
            dwords[4] = (uint)state->X87Opcode << 16;
            dwords[5] = (uint)state->X87DataPointer;
            dwords[6] = unused;
        }
    }

    private static void TakeEnvironment(CpuState* state, byte* area, bool isShort)
    {
        if (isShort)
        {
            ushort* words = (ushort*)area;
            state->X87Status = words[1];
            X87State.SetControl(state, words[0]);
            X87State.SetFullTags(state, words[2]);
            state->X87InstructionPointer = words[3];
            state->X87DataPointer = words[5];
        }
        else
        {
            uint* dwords = (uint*)area;
            state->X87Status = (ushort)dwords[1];
            X87State.SetControl(state, (ushort)dwords[0]);
            X87State.SetFullTags(state, (ushort)dwords[2]);
            state->X87InstructionPointer = dwords[3];
            state->X87Opcode = (ushort)(dwords[4] >> 16 & 0x7FF);
            state->X87DataPointer = dwords[5];
        }
    }

    private static DecodedInstruction* StoreEnvironment(X86Processor cpu, DecodedInstruction* i)
    {
        EnterControl(cpu);
        bool isShort = IsShort(i);
        int length = isShort ? ShortEnvironment : LongEnvironment;
        byte* area = stackalloc byte[LongEnvironment];
        FillEnvironment(cpu, area, isShort);
        cpu.WriteBytes(cpu.Address(i, length, AccessKind.Write), area, length);
        cpu.State->X87Control |= 0x3F;
        X87State.UpdateSummary(cpu.State);
        return i + 1;
    }

    private static DecodedInstruction* LoadEnvironment(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        bool isShort = IsShort(i);
        int length = isShort ? ShortEnvironment : LongEnvironment;
        byte* area = stackalloc byte[LongEnvironment];
        cpu.ReadBytes(cpu.Address(i, length, AccessKind.Read), area, length);
        TakeEnvironment(cpu.State, area, isShort);
        return i + 1;
    }

    private static DecodedInstruction* Save(X86Processor cpu, DecodedInstruction* i)
    {
        EnterControl(cpu);
        var state = cpu.State;
        bool isShort = IsShort(i);
        int environment = isShort ? ShortEnvironment : LongEnvironment;
        byte* area = stackalloc byte[LongEnvironment + RegisterBytes];
        FillEnvironment(cpu, area, isShort);
        for (int number = 0; number < 8; number++)
        {
            var value = X87State.Get(state, number);
            *(ulong*)(area + environment + (number * 10)) = value.Significand;
            *(ushort*)(area + environment + (number * 10) + 8) = value.SignExponent;
        }

        cpu.WriteBytes(cpu.Address(i, environment + RegisterBytes, AccessKind.Write), area, environment + RegisterBytes);
        X87State.Initialize(state);
        return i + 1;
    }

    private static DecodedInstruction* Restore(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        var state = cpu.State;
        bool isShort = IsShort(i);
        int environment = isShort ? ShortEnvironment : LongEnvironment;
        byte* area = stackalloc byte[LongEnvironment + RegisterBytes];
        cpu.ReadBytes(cpu.Address(i, environment + RegisterBytes, AccessKind.Read), area, environment + RegisterBytes);
        TakeEnvironment(state, area, isShort);
        for (int number = 0; number < 8; number++)
        {
            ref var register = ref state->X87[X87State.Physical(state, number)];
            register.Mantissa = *(ulong*)(area + environment + (number * 10));
            register.SignExponent = *(ushort*)(area + environment + (number * 10) + 8);
        }

        return i + 1;
    }

    private static DecodedInstruction* NoOperation(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        return i + 1;
    }

    private static DecodedInstruction* NoOperationControl(X86Processor cpu, DecodedInstruction* i)
    {
        EnterControl(cpu);
        return i + 1;
    }

    private static DecodedInstruction* IncrementTop(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        X87State.SetTop(cpu.State, X87State.Top(cpu.State) + 1);
        cpu.State->X87Status &= unchecked((ushort)~X87State.C1);
        return i + 1;
    }

    private static DecodedInstruction* DecrementTop(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        X87State.SetTop(cpu.State, X87State.Top(cpu.State) - 1);
        cpu.State->X87Status &= unchecked((ushort)~X87State.C1);
        return i + 1;
    }

    private static DecodedInstruction* Free(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        X87State.Free(cpu.State, i->Reg0);
        cpu.State->X87Status &= unchecked((ushort)~X87State.C1);
        return i + 1;
    }

    private static DecodedInstruction* FreeAndPop(X86Processor cpu, DecodedInstruction* i)
    {
        EnterWaiting(cpu);
        X87State.Free(cpu.State, i->Reg0);
        X87State.Pop(cpu.State);
        cpu.State->X87Status &= unchecked((ushort)~X87State.C1);
        return i + 1;
    }
}
