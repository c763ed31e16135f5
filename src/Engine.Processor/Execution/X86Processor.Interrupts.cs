namespace Hypervisor.Engine.Processor;

/// <summary>What is delivered through the interrupt table.</summary>
internal enum DeliveryKind
{
    /// <summary>An exception; RIP is the instruction that raised it.</summary>
    Fault,
    /// <summary>An exception after an instruction (#DB).</summary>
    Trap,
    /// <summary>An interrupt from outside, or NMI.</summary>
    External,
    /// <summary>INT n, INT3, INTO: gate DPL is checked.</summary>
    Software,
    /// <summary>INT1: an instruction, but without that check.</summary>
    PrivilegedSoftware,
}

// Delivery of exceptions and interrupts (Intel SDM vol. 3A, chapter 6). Everything that can fault happens before registers change.
public sealed unsafe partial class X86Processor
{
    /// <summary>INT n and its kin: the return address is the next instruction.</summary>
    internal DecodedInstruction* SoftwareInterrupt(DecodedInstruction* i, int vector, DeliveryKind kind = DeliveryKind.Software)
    {
        if (IsVirtual8086 && i->Code == Iced.Intel.Code.Int_imm8 && TryInterruptVirtual8086(vector, NextRip(i)))
        {
            State->Retired += i->Ordinal;
            return null;
        }

        State->Rip = NextRip(i);
        Deliver(vector, kind, null);
        State->Retired += i->Ordinal;
        return null;
    }

    private void Deliver(int vector, DeliveryKind kind, uint? errorCode)
    {
        // RF lets the instruction pass that is returned to: faults set it in the image, for instruction breakpoints the handler does
        // (vol. 3A, 18.3.1.1). Behind an instruction it is clear, but for a repeated one that is interrupted.
        ulong flags = GetRflags() & (_watchesCode ? ulong.MaxValue : ~Rflags.Resume);
        flags |= kind == DeliveryKind.Fault && vector != (int)Vector.Debug ? Rflags.Resume : 0;
        if (!IsProtected)
        {
            DeliverReal(vector, flags);
        }
        else if (_isLongMode)
        {
            DeliverLong(vector, kind, flags, errorCode);
        }
        else
        {
            DeliverProtected(vector, kind, flags, errorCode);
        }

        // Every handler starts with TF clear: INT n is not stepped over but left behind (vol. 3A, 18.3.1.4).
        _stepArmed = false;
        if (vector == (int)Vector.Debug)
        {
            if (kind == DeliveryKind.PrivilegedSoftware && _debugPending != 0)
            {
                // What a load of SS hit waited for the instruction behind it; that was INT1, whose #DB tells both.
                ReportDebug(_debugPending);
                _debugPending = 0;
            }

            State->Debug[7] &= ~Dr7GeneralDetect;
        }
    }

    private void DeliverReal(int vector, ulong flags)
    {
        ulong at = (ulong)vector * 4;
        if (at + 3 > State->IdtLimit)
        {
            Raise(Vector.GeneralProtection, 0);
        }

        uint target = ReadSystem<uint>(State->IdtBase + at);
        ulong sp = State->Gpr[4];
        ref SegmentState ss = ref State->Segments[(int)SegmentName.Ss];
        PushReal(ref ss, ref sp, (ushort)flags);
        PushReal(ref ss, ref sp, State->Segments[(int)SegmentName.Cs].Selector);
        PushReal(ref ss, ref sp, (ushort)State->Rip);
        State->Gpr[4] = (State->Gpr[4] & ~0xFFFFul) | (sp & 0xFFFF);
        State->Rip = (ushort)target;
        SetSystemFlags(State->SystemFlags & ~(Rflags.Interrupt | Rflags.Trap | Rflags.AlignmentCheck | Rflags.Resume));
        LoadRealCode((ushort)(target >> 16));
    }

    private void PushReal(ref SegmentState ss, ref ulong sp, ushort value)
    {
        sp = (sp - 2) & 0xFFFF;
        if (sp + 1 > ss.Limit || sp == 0xFFFF)
        {
            // A word at FFFFh has no room (vol. 3A, 22.37); on the way to a handler it ends in a shutdown.
            Raise(Vector.StackFault, 0);
        }

        WriteSystem(ss.Base + sp, value);
    }

    private void DeliverLong(int vector, DeliveryKind kind, ulong flags, uint? errorCode)
    {
        uint external = kind == DeliveryKind.Software ? 0u : 1u;
        uint gateError = ((uint)vector * 8) | 2 | external;
        ulong at = (ulong)vector * 16;
        if (at + 15 > State->IdtLimit)
        {
            Raise(Vector.GeneralProtection, gateError);
        }

        ulong low = ReadSystem<ulong>(State->IdtBase + at);
        ulong high = ReadSystem<ulong>(State->IdtBase + at + 8);
        int type = (int)(low >> 40) & 0x1F;
        if (type is not (0xE or 0xF) || (kind == DeliveryKind.Software && ((int)(low >> 45) & 3) < State->Cpl))
        {
            Raise(Vector.GeneralProtection, gateError);
        }

        if ((low & (1ul << 47)) == 0)
        {
            Raise(Vector.SegmentNotPresent, gateError);
        }

        ushort selector = (ushort)(low >> 16);
        SegmentState code = ReadInterruptCode(selector, external);
        if ((code.Attributes & (SegmentState.Long | SegmentState.Big)) != SegmentState.Long)
        {
            Raise(Vector.GeneralProtection, (selector & 0xFFFCu) | external);
        }

        int cpl = State->Cpl;
        int newCpl = (code.Attributes & SegmentState.Conforming) != 0 ? cpl : code.Dpl;
        int ist = (int)(low >> 32) & 7;
        ulong rsp = ist != 0 ? ReadTaskStack64(36 + ((uint)(ist - 1) * 8), external)
            : newCpl < cpl ? ReadTaskStack64(4 + ((uint)newCpl * 8), external)
            : State->Gpr[4];
        ulong target = ((low >> 48) << 16) | (low & 0xFFFF) | (high << 32);
        if (!IsCanonical(target))
        {
            Raise(Vector.GeneralProtection, external);
        }

        MarkAccessed(ref code);
        ulong stack = rsp & ~15ul;
        EnterSupervisorAt(newCpl);
        PushLong(ref stack, State->Segments[(int)SegmentName.Ss].Selector);
        PushLong(ref stack, State->Gpr[4]);
        PushLong(ref stack, flags);
        PushLong(ref stack, State->Segments[(int)SegmentName.Cs].Selector);
        PushLong(ref stack, State->Rip);
        if (errorCode is uint error)
        {
            PushLong(ref stack, error);
        }

        LeaveSupervisor();
        State->Gpr[4] = stack;
        State->Rip = target;
        if (newCpl < cpl)
        {
            State->Segments[(int)SegmentName.Ss] = NullStack(newCpl);
        }

        EnterHandler(code, newCpl, (type & 1) == 0);
    }

    private void DeliverProtected(int vector, DeliveryKind kind, ulong flags, uint? errorCode)
    {
        uint external = kind == DeliveryKind.Software ? 0u : 1u;
        uint gateError = ((uint)vector * 8) | 2 | external;
        ulong at = (ulong)vector * 8;
        if (at + 7 > State->IdtLimit)
        {
            Raise(Vector.GeneralProtection, gateError);
        }

        ulong gate = ReadSystem<ulong>(State->IdtBase + at);
        int type = (int)(gate >> 40) & 0x1F;
        if (type is not (TaskGate or 6 or 7 or 0xE or 0xF) || (kind == DeliveryKind.Software && ((int)(gate >> 45) & 3) < State->Cpl))
        {
            Raise(Vector.GeneralProtection, gateError);
        }

        if ((gate & (1ul << 47)) == 0)
        {
            Raise(Vector.SegmentNotPresent, gateError);
        }

        bool wide = type >= 0xE;
        ushort selector = (ushort)(gate >> 16);
        if (type == TaskGate)
        {
            InterruptToTask(selector, flags, errorCode, external);
            return;
        }

        SegmentState code = ReadInterruptCode(selector, external);
        int cpl = State->Cpl;
        bool virtual8086 = IsVirtual8086;
        int newCpl = (code.Attributes & SegmentState.Conforming) != 0 ? cpl : code.Dpl;
        if (virtual8086 && newCpl != 0)
        {
            Raise(Vector.GeneralProtection, (selector & 0xFFFCu) | external);
        }

        SegmentState ss = State->Segments[(int)SegmentName.Ss];
        ulong sp = State->Gpr[4];
        uint stackError = external;
        if (newCpl < cpl)
        {
            (ss, sp) = ReadTaskStack32(newCpl, external);
            stackError |= ss.Selector & 0xFFFCu;
        }

        ulong target = wide ? ((gate >> 48) << 16) | (gate & 0xFFFF) : gate & 0xFFFF;
        if (target > code.Limit)
        {
            Raise(Vector.GeneralProtection, external);
        }

        MarkAccessed(ref code);
        if (newCpl < cpl)
        {
            MarkAccessed(ref ss);
        }

        var frame = new StackFrame(ss, sp, wide, stackError);
        EnterSupervisorAt(newCpl);
        if (virtual8086)
        {
            Push(ref frame, State->Segments[(int)SegmentName.Gs].Selector);
            Push(ref frame, State->Segments[(int)SegmentName.Fs].Selector);
            Push(ref frame, State->Segments[(int)SegmentName.Ds].Selector);
            Push(ref frame, State->Segments[(int)SegmentName.Es].Selector);
        }

        if (newCpl < cpl)
        {
            Push(ref frame, State->Segments[(int)SegmentName.Ss].Selector);
            Push(ref frame, (uint)State->Gpr[4]);
        }

        Push(ref frame, (uint)flags);
        Push(ref frame, State->Segments[(int)SegmentName.Cs].Selector);
        Push(ref frame, (uint)State->Rip);
        if (errorCode is uint error)
        {
            Push(ref frame, error);
        }

        LeaveSupervisor();
        State->Gpr[4] = frame.Wide(State->Gpr[4]);
        State->Segments[(int)SegmentName.Ss] = ss;
        State->Rip = target;
        if (virtual8086)
        {
            for (var name = SegmentName.Es; name <= SegmentName.Gs; name++)
            {
                if (name is not (SegmentName.Cs or SegmentName.Ss))
                {
                    State->Segments[(int)name] = new SegmentState { Attributes = SegmentState.Unusable };
                }
            }

            State->SystemFlags &= ~Rflags.Virtual8086;
        }

        EnterHandler(code, newCpl, (type & 1) == 0);
    }

    private void EnterHandler(SegmentState code, int cpl, bool interruptGate)
    {
        code.Selector = (ushort)((code.Selector & 0xFFFC) | cpl);
        State->Segments[(int)SegmentName.Cs] = code;
        ulong cleared = Rflags.Trap | Rflags.NestedTask | Rflags.Resume | Rflags.Virtual8086 | (interruptGate ? Rflags.Interrupt : 0);
        State->SystemFlags &= ~cleared;
        ref SegmentState ss = ref State->Segments[(int)SegmentName.Ss];
        ss.Attributes = (ss.Attributes & ~0x60u) | ((uint)cpl << 5);
        DeriveMode();
    }

    private SegmentState ReadInterruptCode(ushort selector, uint external)
    {
        if ((selector & 0xFFFC) == 0)
        {
            Raise(Vector.GeneralProtection, external);
        }

        SegmentState code = ReadDescriptor(selector, Vector.GeneralProtection, external);
        uint attributes = code.Attributes;
        if ((attributes & (SegmentState.NonSystem | SegmentState.Code)) != (SegmentState.NonSystem | SegmentState.Code) || code.Dpl > State->Cpl)
        {
            Raise(Vector.GeneralProtection, (selector & 0xFFFCu) | external);
        }

        if ((attributes & SegmentState.Present) == 0)
        {
            Raise(Vector.SegmentNotPresent, (selector & 0xFFFCu) | external);
        }

        return code;
    }

    private ulong ReadTaskStack64(uint offset, uint external)
    {
        ref SegmentState tr = ref State->Segments[(int)SegmentName.Tr];
        if (offset + 7 > tr.Limit)
        {
            Raise(Vector.InvalidTss, (tr.Selector & 0xFFFCu) | external);
        }

        ulong stack = ReadSystem<ulong>(tr.Base + offset);
        if (!IsCanonical(stack))
        {
            Raise(Vector.StackFault, external);
        }

        return stack;
    }

    internal (SegmentState Ss, ulong Sp) ReadTaskStack32(int cpl, uint external)
    {
        ref SegmentState tr = ref State->Segments[(int)SegmentName.Tr];
        bool wide = (tr.Type & 8) != 0;
        uint offset = wide ? 4 + ((uint)cpl * 8) : 2 + ((uint)cpl * 4);
        if (offset + (wide ? 5u : 3u) > tr.Limit)
        {
            Raise(Vector.InvalidTss, (tr.Selector & 0xFFFCu) | external);
        }

        ulong sp = wide ? ReadSystem<uint>(tr.Base + offset) : ReadSystem<ushort>(tr.Base + offset);
        ushort selector = ReadSystem<ushort>(tr.Base + offset + (wide ? 4u : 2u));
        uint error = (selector & 0xFFFCu) | external;
        if ((selector & 0xFFFC) == 0)
        {
            Raise(Vector.InvalidTss, external);
        }

        SegmentState ss = ReadDescriptor(selector, Vector.InvalidTss, external);
        const uint wanted = SegmentState.NonSystem | SegmentState.Writable;
        if ((ss.Attributes & (wanted | SegmentState.Code)) != wanted || ss.Dpl != cpl || (selector & 3) != cpl)
        {
            Raise(Vector.InvalidTss, error);
        }

        if ((ss.Attributes & SegmentState.Present) == 0)
        {
            Raise(Vector.StackFault, error);
        }

        return (ss, sp);
    }

    // Pushes of a delivery are made with the handler's privilege.
    private void EnterSupervisorAt(int cpl)
    {
        if (cpl != 3)
        {
            EnterSupervisor();
        }
    }

    private void PushLong(ref ulong stack, ulong value)
    {
        stack -= 8;
        Write(stack, value);
    }

    private void Push(ref StackFrame frame, uint value)
    {
        ulong sp = frame.Next();
        ulong last = sp + (frame.IsWide ? 3u : 1u);
        bool down = (frame.Segment.Attributes & SegmentState.ExpandDown) != 0;
        if (down ? sp <= frame.Segment.Limit : last > frame.Segment.Limit)
        {
            Raise(Vector.StackFault, frame.Error);
        }

        ulong linear = (uint)(frame.Segment.Base + sp);
        if (frame.IsWide)
        {
            Write(linear, value);
        }
        else
        {
            Write(linear, (ushort)value);
        }
    }

    /// <summary>A stack being pushed to that is not yet the processor's.</summary>
    private ref struct StackFrame(SegmentState segment, ulong pointer, bool wide, uint error)
    {
        public readonly uint Error = error;
        public readonly SegmentState Segment = segment;
        public readonly bool IsWide = wide;
        private ulong _pointer = pointer;

        private readonly ulong Mask => (Segment.Attributes & SegmentState.Big) != 0 ? 0xFFFF_FFFF : 0xFFFFul;

        public ulong Next()
        {
            _pointer = (_pointer & ~Mask) | ((_pointer - (IsWide ? 4u : 2u)) & Mask);
            return _pointer & Mask;
        }

        public readonly ulong Wide(ulong old) => Mask == 0xFFFF ? (old & ~Mask) | (_pointer & Mask) : _pointer & Mask;
    }

    internal static bool IsCanonical(ulong address) => (ulong)((long)address << 16 >> 16) == address;
}
