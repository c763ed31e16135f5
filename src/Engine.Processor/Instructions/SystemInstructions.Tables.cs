namespace Hypervisor.Engine.Processor;

// Descriptor tables and the system segments.
internal static unsafe partial class SystemInstructions
{
    private static void RegisterTables(InstructionTable.Builder table)
    {
        table.Set(table.Named("Lgdt_m1632_16"), &LoadGlobal16);
        table.Set(table.Named("Lgdt_m1632"), &LoadGlobal32);
        table.Set(table.Named("Lgdt_m1664"), &LoadGlobal64);
        table.Set(table.Named("Lidt_m1632_16"), &LoadInterrupt16);
        table.Set(table.Named("Lidt_m1632"), &LoadInterrupt32);
        table.Set(table.Named("Lidt_m1664"), &LoadInterrupt64);
        table.Set(table.Named("Sgdt_m1632_16"), &StoreGlobal);
        table.Set(table.Named("Sgdt_m1632"), &StoreGlobal);
        table.Set(table.Named("Sgdt_m1664"), &StoreGlobal);
        table.Set(table.Named("Sidt_m1632_16"), &StoreInterrupt);
        table.Set(table.Named("Sidt_m1632"), &StoreInterrupt);
        table.Set(table.Named("Sidt_m1664"), &StoreInterrupt);
        foreach (string operand in new[] { "rm16", "r32m16", "r64m16" })
        {
            table.Set(table.Named($"Lldt_{operand}"), &LoadLocal);
            table.Set(table.Named($"Ltr_{operand}"), &LoadTask);
            table.Set(table.Named($"Verr_{operand}"), &VerifyRead);
            table.Set(table.Named($"Verw_{operand}"), &VerifyWrite);
        }

        table.Set(table.Named("Sldt_rm16"), &StoreLocal2);
        table.Set(table.Named("Sldt_r32m16"), &StoreLocal8);
        table.Set(table.Named("Sldt_r64m16"), &StoreLocal8);
        table.Set(table.Named("Str_rm16"), &StoreTask2);
        table.Set(table.Named("Str_r32m16"), &StoreTask8);
        table.Set(table.Named("Str_r64m16"), &StoreTask8);
        table.Set(table.Named("Lar_r16_rm16"), &LoadRights16);
        table.Set(table.Named("Lar_r32_r32m16"), &LoadRights);
        table.Set(table.Named("Lar_r64_r64m16"), &LoadRights);
        table.Set(table.Named("Lsl_r16_rm16"), &LoadLimit16);
        table.Set(table.Named("Lsl_r32_r32m16"), &LoadLimit);
        table.Set(table.Named("Lsl_r64_r64m16"), &LoadLimit);
        table.Set(table.Named("Arpl_rm16_r16"), &AdjustRpl);
        table.Set(table.Named("Arpl_r32m16_r32"), &AdjustRpl);
    }

    private static (ulong Base, uint Limit) ReadTable(X86Processor cpu, DecodedInstruction* i, int baseBytes)
    {
        RequireKernel(cpu);
        ulong linear = cpu.Address(i, baseBytes == 8 ? 10 : 6, AccessKind.Read);
        uint limit = cpu.Read<ushort>(linear);
        ulong address = baseBytes == 8 ? cpu.Read<ulong>(linear + 2) : cpu.Read<uint>(linear + 2);
        if (baseBytes == 8 && !X86Processor.IsCanonical(address))
        {
            cpu.RaiseGeneralProtection();
        }

        return (baseBytes == 3 ? address & 0xFF_FFFF : address, limit);
    }

    private static DecodedInstruction* LoadGlobal16(X86Processor cpu, DecodedInstruction* i) => LoadGlobal(cpu, i, 3);

    private static DecodedInstruction* LoadGlobal32(X86Processor cpu, DecodedInstruction* i) => LoadGlobal(cpu, i, 4);

    private static DecodedInstruction* LoadGlobal64(X86Processor cpu, DecodedInstruction* i) => LoadGlobal(cpu, i, 8);

    private static DecodedInstruction* LoadGlobal(X86Processor cpu, DecodedInstruction* i, int bytes)
    {
        (cpu.State->GdtBase, cpu.State->GdtLimit) = ReadTable(cpu, i, bytes);
        return i + 1;
    }

    private static DecodedInstruction* LoadInterrupt16(X86Processor cpu, DecodedInstruction* i) => LoadInterrupt(cpu, i, 3);

    private static DecodedInstruction* LoadInterrupt32(X86Processor cpu, DecodedInstruction* i) => LoadInterrupt(cpu, i, 4);

    private static DecodedInstruction* LoadInterrupt64(X86Processor cpu, DecodedInstruction* i) => LoadInterrupt(cpu, i, 8);

    private static DecodedInstruction* LoadInterrupt(X86Processor cpu, DecodedInstruction* i, int bytes)
    {
        (cpu.State->IdtBase, cpu.State->IdtLimit) = ReadTable(cpu, i, bytes);
        return i + 1;
    }

    private static DecodedInstruction* StoreGlobal(X86Processor cpu, DecodedInstruction* i) =>
        StoreTable(cpu, i, cpu.State->GdtBase, (ushort)cpu.State->GdtLimit);

    private static DecodedInstruction* StoreInterrupt(X86Processor cpu, DecodedInstruction* i) =>
        StoreTable(cpu, i, cpu.State->IdtBase, (ushort)cpu.State->IdtLimit);

    private static DecodedInstruction* StoreTable(X86Processor cpu, DecodedInstruction* i, ulong address, ushort limit)
    {
        RequireInformation(cpu);
        int size = cpu.Is64Bit ? 10 : 6;
        byte* image = stackalloc byte[10];
        *(ushort*)image = limit;
        *(ulong*)(image + 2) = address;
        cpu.WriteBytes(cpu.Address(i, size, AccessKind.Write), image, size);
        return i + 1;
    }

    private static DecodedInstruction* LoadLocal(X86Processor cpu, DecodedInstruction* i)
    {
        RequireProtected(cpu);
        RequireKernel(cpu);
        ushort selector = SelectorOperand(cpu, i, i->Reg0);
        if ((selector & 0xFFFC) == 0)
        {
            cpu.State->Segments[(int)SegmentName.Ldtr] = new SegmentState { Selector = selector, Attributes = SegmentState.Unusable };
            return i + 1;
        }

        SegmentState segment = cpu.ReadSystemDescriptor(selector, Vector.GeneralProtection, out _);
        if ((segment.Attributes & 0x1F) != 2)
        {
            cpu.Raise(Vector.GeneralProtection, selector & 0xFFFCu);
        }

        RequireLoadable(cpu, segment);

        cpu.State->Segments[(int)SegmentName.Ldtr] = segment;
        return i + 1;
    }

    private static DecodedInstruction* LoadTask(X86Processor cpu, DecodedInstruction* i)
    {
        RequireProtected(cpu);
        RequireKernel(cpu);
        ushort selector = SelectorOperand(cpu, i, i->Reg0);
        if ((selector & 0xFFFC) == 0)
        {
            cpu.RaiseGeneralProtection();
        }

        SegmentState segment = cpu.ReadSystemDescriptor(selector, Vector.GeneralProtection, out ulong address);
        uint type = segment.Attributes & 0x1F;
        if (type != 9 && (type != 1 || cpu.IsLongMode))
        {
            cpu.Raise(Vector.GeneralProtection, selector & 0xFFFCu);
        }

        RequireLoadable(cpu, segment);

        // Marks the task busy.
        cpu.WriteSystem(address + 5, (byte)(cpu.ReadSystem<byte>(address + 5) | 2));
        segment.Attributes |= 2;
        cpu.State->Segments[(int)SegmentName.Tr] = segment;
        return i + 1;
    }

    // Present, and in IA-32e mode at a canonical base (AMD64 APM vol. 3, LLDT and LTR; Intel's processors do the same).
    private static void RequireLoadable(X86Processor cpu, SegmentState segment)
    {
        if ((segment.Attributes & SegmentState.Present) == 0)
        {
            cpu.Raise(Vector.SegmentNotPresent, segment.Selector & 0xFFFCu);
        }

        if (cpu.IsLongMode && !X86Processor.IsCanonical(segment.Base))
        {
            cpu.Raise(Vector.GeneralProtection, segment.Selector & 0xFFFCu);
        }
    }

    private static DecodedInstruction* StoreLocal2(X86Processor cpu, DecodedInstruction* i) => StoreSelector(cpu, i, SegmentName.Ldtr, 2);

    private static DecodedInstruction* StoreLocal8(X86Processor cpu, DecodedInstruction* i) => StoreSelector(cpu, i, SegmentName.Ldtr, 8);

    private static DecodedInstruction* StoreTask2(X86Processor cpu, DecodedInstruction* i) => StoreSelector(cpu, i, SegmentName.Tr, 2);

    private static DecodedInstruction* StoreTask8(X86Processor cpu, DecodedInstruction* i) => StoreSelector(cpu, i, SegmentName.Tr, 8);

    private static DecodedInstruction* StoreSelector(X86Processor cpu, DecodedInstruction* i, SegmentName name, int size)
    {
        RequireProtected(cpu);
        RequireInformation(cpu);
        StoreWord(cpu, i, cpu.State->Segments[(int)name].Selector, size);
        return i + 1;
    }

    // A descriptor that the current privilege may see, for LAR, LSL, VERR and VERW.
    private static bool TryInspect(X86Processor cpu, ushort selector, out SegmentState segment, out uint rights)
    {
        segment = default;
        rights = 0;
        if ((selector & 0xFFFC) == 0 || !cpu.TryDescriptorAddress(selector, out ulong address))
        {
            return false;
        }

        ulong descriptor = cpu.ReadSystem<ulong>(address);
        segment = X86Processor.ParseDescriptor(selector, descriptor);
        rights = (uint)(descriptor >> 32) & 0x00FF_FF00;
        bool conforming = (segment.Attributes & 0x1C) == 0x1C;
        return conforming || (segment.Dpl >= cpu.Cpl && segment.Dpl >= (selector & 3));
    }

    private static bool IsInspectableSystem(X86Processor cpu, uint type, bool limit) => type switch
    {
        2 or 9 or 0xB => true,
        1 or 3 => !cpu.IsLongMode,
        0xC => !limit,
        4 or 5 => !limit && !cpu.IsLongMode,
        _ => false,
    };

    private static DecodedInstruction* LoadRights16(X86Processor cpu, DecodedInstruction* i) => Rights(cpu, i, 0xFFFF, wide: false);

    private static DecodedInstruction* LoadRights(X86Processor cpu, DecodedInstruction* i) => Rights(cpu, i, uint.MaxValue, wide: true);

    private static DecodedInstruction* Rights(X86Processor cpu, DecodedInstruction* i, uint mask, bool wide)
    {
        RequireProtected(cpu);
        bool valid = TryInspect(cpu, SelectorOperand(cpu, i, i->Reg1), out SegmentState segment, out uint rights);
        uint type = segment.Attributes & 0x1F;
        valid = valid && ((type & 0x10) != 0 || IsInspectableSystem(cpu, type, limit: false));
        return Inspected(cpu, i, valid, rights & mask, wide);
    }

    private static DecodedInstruction* LoadLimit16(X86Processor cpu, DecodedInstruction* i) => Limit(cpu, i, wide: false);

    private static DecodedInstruction* LoadLimit(X86Processor cpu, DecodedInstruction* i) => Limit(cpu, i, wide: true);

    private static DecodedInstruction* Limit(X86Processor cpu, DecodedInstruction* i, bool wide)
    {
        RequireProtected(cpu);
        bool valid = TryInspect(cpu, SelectorOperand(cpu, i, i->Reg1), out SegmentState segment, out _);
        uint type = segment.Attributes & 0x1F;
        valid = valid && ((type & 0x10) != 0 || IsInspectableSystem(cpu, type, limit: true));
        return Inspected(cpu, i, valid, segment.Limit, wide);
    }

    private static DecodedInstruction* Inspected(X86Processor cpu, DecodedInstruction* i, bool valid, uint value, bool wide)
    {
        SetZero(cpu.State, valid);
        if (valid && wide)
        {
            Width.Set(cpu.State, i->Reg0, value);
        }
        else if (valid)
        {
            Width.Set(cpu.State, i->Reg0, (ushort)value);
        }

        return i + 1;
    }

    private static DecodedInstruction* VerifyRead(X86Processor cpu, DecodedInstruction* i)
    {
        RequireProtected(cpu);
        bool valid = TryInspect(cpu, SelectorOperand(cpu, i, i->Reg0), out SegmentState segment, out _)
            && (segment.Attributes & SegmentState.NonSystem) != 0
            && ((segment.Attributes & SegmentState.Code) == 0 || (segment.Attributes & SegmentState.Writable) != 0);
        SetZero(cpu.State, valid);
        return i + 1;
    }

    private static DecodedInstruction* VerifyWrite(X86Processor cpu, DecodedInstruction* i)
    {
        RequireProtected(cpu);
        bool valid = TryInspect(cpu, SelectorOperand(cpu, i, i->Reg0), out SegmentState segment, out _)
            && (segment.Attributes & (SegmentState.NonSystem | SegmentState.Code | SegmentState.Writable))
                == (SegmentState.NonSystem | SegmentState.Writable);
        SetZero(cpu.State, valid);
        return i + 1;
    }

    private static DecodedInstruction* AdjustRpl(X86Processor cpu, DecodedInstruction* i)
    {
        RequireProtected(cpu);
        ushort source = (ushort)RegisterOperand(cpu, i->Reg1);
        ushort selector = SelectorOperand(cpu, i, i->Reg0);
        bool raise = (selector & 3) < (source & 3);
        if (raise)
        {
            StoreWord(cpu, i, (selector & ~3u) | (source & 3u), 2);
        }

        SetZero(cpu.State, raise);
        return i + 1;
    }

    private static void SetZero(CpuState* s, bool zero)
    {
        ulong flags = LazyFlags.Materialise(s);
        LazyFlags.Set(s, zero ? flags | Rflags.Zero : flags & ~Rflags.Zero);
    }
}
