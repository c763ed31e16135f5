namespace Hypervisor.Engine.Processor;

// Segment registers and the bases of FS and GS.
internal static unsafe partial class SystemInstructions
{
    private static void RegisterSegments(InstructionTable.Builder table)
    {
        foreach (string operand in new[] { "rm16", "r32m16", "r64m16" })
        {
            table.Set(table.Named($"Mov_Sreg_{operand}"), &MoveToSegment);
        }

        foreach (string segment in new[] { "ES", "SS", "DS", "FS", "GS" })
        {
            table.Set(table.Named($"Popw_{segment}"), &PopSegment2);
            table.Set(table.Named($"Popd_{segment}"), &PopSegment4);
        }

        table.Set(table.Named("Popq_FS"), &PopSegment8);
        table.Set(table.Named("Popq_GS"), &PopSegment8);
        FarPointer(table, "Les", &LoadEs16, &LoadEs32, null);
        FarPointer(table, "Lds", &LoadDs16, &LoadDs32, null);
        FarPointer(table, "Lss", &LoadSs16, &LoadSs32, &LoadSs64);
        FarPointer(table, "Lfs", &LoadFs16, &LoadFs32, &LoadFs64);
        FarPointer(table, "Lgs", &LoadGs16, &LoadGs32, &LoadGs64);
        table.Set(table.Named("Swapgs"), &SwapGs);
        table.Set(table.Named("Rdfsbase_r32"), &ReadFsBase);
        table.Set(table.Named("Rdfsbase_r64"), &ReadFsBase);
        table.Set(table.Named("Rdgsbase_r32"), &ReadGsBase);
        table.Set(table.Named("Rdgsbase_r64"), &ReadGsBase);
        table.Set(table.Named("Wrfsbase_r32"), &WriteFsBase);
        table.Set(table.Named("Wrfsbase_r64"), &WriteFsBase);
        table.Set(table.Named("Wrgsbase_r32"), &WriteGsBase);
        table.Set(table.Named("Wrgsbase_r64"), &WriteGsBase);
    }

    private static void FarPointer(
        InstructionTable.Builder table,
        string name,
        delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> word,
        delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> dword,
        delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> qword)
    {
        table.Set(table.Named($"{name}_r16_m1616"), word);
        table.Set(table.Named($"{name}_r32_m1632"), dword);
        if (qword != null)
        {
            table.Set(table.Named($"{name}_r64_m1664"), qword);
        }
    }

    private static DecodedInstruction* MoveToSegment(X86Processor cpu, DecodedInstruction* i)
    {
        if (i->Reg0 == (byte)SegmentName.Cs || i->Reg0 > (byte)SegmentName.Gs)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        cpu.LoadSegment((SegmentName)i->Reg0, SelectorOperand(cpu, i, i->Reg1));
        return AfterSegment(cpu, i, (SegmentName)i->Reg0);
    }

    private static DecodedInstruction* AfterSegment(X86Processor cpu, DecodedInstruction* i, SegmentName name)
    {
        if (name == SegmentName.Ss)
        {
            cpu.ShadowStackLoad(cpu.NextRip(i));
        }

        return i + 1;
    }

    private static DecodedInstruction* PopSegment2(X86Processor cpu, DecodedInstruction* i) => PopSegment(cpu, i, 2);

    private static DecodedInstruction* PopSegment4(X86Processor cpu, DecodedInstruction* i) => PopSegment(cpu, i, 4);

    private static DecodedInstruction* PopSegment8(X86Processor cpu, DecodedInstruction* i) => PopSegment(cpu, i, 8);

    private static DecodedInstruction* PopSegment(X86Processor cpu, DecodedInstruction* i, int size)
    {
        ushort selector = cpu.Peek<ushort>();
        // POP SS changes the stack's width only after its own pop.
        ulong old = cpu.State->Gpr[4];
        cpu.MoveStack(size);
        ulong moved = cpu.State->Gpr[4];
        cpu.State->Gpr[4] = old;
        cpu.LoadSegment((SegmentName)i->Reg0, selector);
        cpu.State->Gpr[4] = moved;
        return AfterSegment(cpu, i, (SegmentName)i->Reg0);
    }

    private static DecodedInstruction* LoadFar<T>(X86Processor cpu, DecodedInstruction* i, SegmentName name) where T : unmanaged
    {
        ulong linear = cpu.Address(i, sizeof(T) + 2, AccessKind.Read);
        T offset = cpu.Read<T>(linear);
        ushort selector = cpu.Read<ushort>(linear + (ulong)sizeof(T));
        cpu.LoadSegment(name, selector);
        Width.Set(cpu.State, i->Reg0, offset);
        return AfterSegment(cpu, i, name);
    }

    private static DecodedInstruction* LoadEs16(X86Processor cpu, DecodedInstruction* i) => LoadFar<ushort>(cpu, i, SegmentName.Es);

    private static DecodedInstruction* LoadEs32(X86Processor cpu, DecodedInstruction* i) => LoadFar<uint>(cpu, i, SegmentName.Es);

    private static DecodedInstruction* LoadDs16(X86Processor cpu, DecodedInstruction* i) => LoadFar<ushort>(cpu, i, SegmentName.Ds);

    private static DecodedInstruction* LoadDs32(X86Processor cpu, DecodedInstruction* i) => LoadFar<uint>(cpu, i, SegmentName.Ds);

    private static DecodedInstruction* LoadSs16(X86Processor cpu, DecodedInstruction* i) => LoadFar<ushort>(cpu, i, SegmentName.Ss);

    private static DecodedInstruction* LoadSs32(X86Processor cpu, DecodedInstruction* i) => LoadFar<uint>(cpu, i, SegmentName.Ss);

    private static DecodedInstruction* LoadSs64(X86Processor cpu, DecodedInstruction* i) => LoadFar<ulong>(cpu, i, SegmentName.Ss);

    private static DecodedInstruction* LoadFs16(X86Processor cpu, DecodedInstruction* i) => LoadFar<ushort>(cpu, i, SegmentName.Fs);

    private static DecodedInstruction* LoadFs32(X86Processor cpu, DecodedInstruction* i) => LoadFar<uint>(cpu, i, SegmentName.Fs);

    private static DecodedInstruction* LoadFs64(X86Processor cpu, DecodedInstruction* i) => LoadFar<ulong>(cpu, i, SegmentName.Fs);

    private static DecodedInstruction* LoadGs16(X86Processor cpu, DecodedInstruction* i) => LoadFar<ushort>(cpu, i, SegmentName.Gs);

    private static DecodedInstruction* LoadGs32(X86Processor cpu, DecodedInstruction* i) => LoadFar<uint>(cpu, i, SegmentName.Gs);

    private static DecodedInstruction* LoadGs64(X86Processor cpu, DecodedInstruction* i) => LoadFar<ulong>(cpu, i, SegmentName.Gs);

    private static DecodedInstruction* SwapGs(X86Processor cpu, DecodedInstruction* i)
    {
        if (!cpu.Is64Bit)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        RequireKernel(cpu);
        ref ulong gs = ref cpu.State->Segments[(int)SegmentName.Gs].Base;
        (gs, cpu.State->KernelGsBase) = (cpu.State->KernelGsBase, gs);
        return i + 1;
    }

    private static ref ulong BaseRegister(X86Processor cpu, SegmentName name)
    {
        if (!cpu.Is64Bit || (cpu.State->Cr4 & X86Processor.Cr4Fsgsbase) == 0)
        {
            cpu.Raise(Vector.InvalidOpcode);
        }

        return ref cpu.State->Segments[(int)name].Base;
    }

    private static DecodedInstruction* ReadFsBase(X86Processor cpu, DecodedInstruction* i) => ReadBase(cpu, i, SegmentName.Fs);

    private static DecodedInstruction* ReadGsBase(X86Processor cpu, DecodedInstruction* i) => ReadBase(cpu, i, SegmentName.Gs);

    private static DecodedInstruction* WriteFsBase(X86Processor cpu, DecodedInstruction* i) => WriteBase(cpu, i, SegmentName.Fs);

    private static DecodedInstruction* WriteGsBase(X86Processor cpu, DecodedInstruction* i) => WriteBase(cpu, i, SegmentName.Gs);

    private static bool IsQuad(DecodedInstruction* i) =>
        i->Code is Iced.Intel.Code.Rdfsbase_r64 or Iced.Intel.Code.Rdgsbase_r64 or Iced.Intel.Code.Wrfsbase_r64 or Iced.Intel.Code.Wrgsbase_r64;

    private static DecodedInstruction* ReadBase(X86Processor cpu, DecodedInstruction* i, SegmentName name)
    {
        ulong value = BaseRegister(cpu, name);
        *(ulong*)((byte*)cpu.State + i->Reg0) = IsQuad(i) ? value : (uint)value;
        return i + 1;
    }

    private static DecodedInstruction* WriteBase(X86Processor cpu, DecodedInstruction* i, SegmentName name)
    {
        ref ulong place = ref BaseRegister(cpu, name);
        ulong value = RegisterOperand(cpu, i->Reg0);
        value = IsQuad(i) ? value : (uint)value;
        if (!X86Processor.IsCanonical(value))
        {
            cpu.RaiseGeneralProtection();
        }

        place = value;
        return i + 1;
    }
}
