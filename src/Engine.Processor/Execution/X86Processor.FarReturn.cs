namespace Hypervisor.Engine.Processor;

// RETF and IRET (Intel SDM vol. 2, RET and IRET).
public sealed unsafe partial class X86Processor
{
    // The linear address of a stack slot above the stack pointer.
    private ulong StackSlot(ulong at, int size)
    {
        ulong sp = State->Gpr[4] + at;
        return _is64Bit ? sp : SegmentedAddress(SegmentName.Ss, sp & StackMask, (uint)size, AccessKind.Read);
    }

    private ulong PeekStack(int slot, int size) => ReadSized(StackSlot((ulong)(slot * size), size), size);

    private void SetStackPointer(ulong value)
    {
        ulong mask = StackMask;
        State->Gpr[4] = mask == 0xFFFF ? (State->Gpr[4] & ~mask) | (value & mask) : value & mask;
    }

    /// <summary>RETF with operands of so many bytes, releasing parameters.</summary>
    internal void FarReturn(int size, uint release)
    {
        ulong rip = PeekStack(0, size);
        ushort selector = (ushort)PeekStack(1, size);
        if (IsRealOrVirtual8086)
        {
            if (rip > State->Segments[(int)SegmentName.Cs].Limit)
            {
                RaiseGeneralProtection();
            }

            SetStackPointer(State->Gpr[4] + (ulong)(2 * size) + release);
            LoadRealCode(selector);
            State->Rip = rip;
            return;
        }

        SegmentState code = CheckReturnCode(selector);
        if ((selector & 3) == State->Cpl)
        {
            CheckReturnTarget(code, rip);
            SetStackPointer(State->Gpr[4] + (ulong)(2 * size) + release);
            SetCode(code, State->Cpl);
            State->Rip = rip;
            return;
        }

        ulong sp = ReadSized(StackSlot((ulong)(2 * size) + release, size), size);
        ushort ssSelector = (ushort)ReadSized(StackSlot((ulong)(3 * size) + release, size), size);
        CheckReturnTarget(code, rip);
        ReturnOutward(code, rip, ssSelector, sp + release);
    }

    /// <summary>IRET with operands of so many bytes.</summary>
    internal void InterruptReturn(int size)
    {
        if (IsRealOrVirtual8086)
        {
            InterruptReturnReal(size);
        }
        else if (_isLongMode)
        {
            InterruptReturnLong(size);
        }
        else
        {
            InterruptReturnProtected(size);
        }

        _nmiBlocked = false;
        if ((State->Attention & (int)Attention.Nmi) == 0)
        {
            SetAttention(Attention.Interrupt);
        }
    }

    private void InterruptReturnReal(int size)
    {
        bool limited = IsVirtual8086Limited;
        if (limited && ((State->Cr4 & Cr4Vme) == 0 || size != 2))
        {
            RaiseGeneralProtection();
        }

        ulong rip = PeekStack(0, size);
        ushort selector = (ushort)PeekStack(1, size);
        ulong flags = PeekStack(2, size);
        if (limited)
        {
            CheckVirtualFlags(flags);
        }

        if (rip > State->Segments[(int)SegmentName.Cs].Limit)
        {
            RaiseGeneralProtection();
        }

        SetStackPointer(State->Gpr[4] + (ulong)(3 * size));
        LoadRealCode(selector);
        State->Rip = rip;
        if (limited)
        {
            LoadVirtualFlags(flags);
        }
        else
        {
            LoadFlags(
                flags,
                size,
                Rflags.Virtual8086 | Rflags.VirtualInterrupt | Rflags.VirtualInterruptPending | (IsVirtual8086 ? Rflags.IoPrivilege : 0));
        }

        DeriveMode();
    }

    private void InterruptReturnLong(int size)
    {
        if ((State->SystemFlags & Rflags.NestedTask) != 0)
        {
            RaiseGeneralProtection();
        }

        ulong rip = PeekStack(0, size);
        ushort selector = (ushort)PeekStack(1, size);
        ulong flags = PeekStack(2, size);
        bool outward = (selector & 3) != State->Cpl;
        // From 64-bit code SS:RSP is always on the frame.
        bool pops = outward || _is64Bit;
        ulong sp = pops ? PeekStack(3, size) : 0;
        ushort ssSelector = pops ? (ushort)PeekStack(4, size) : (ushort)0;
        SegmentState code = CheckReturnCode(selector);
        CheckReturnTarget(code, rip);
        ulong kept = KeptFlags();
        if (outward)
        {
            ReturnOutward(code, rip, ssSelector, sp);
        }
        else if (pops)
        {
            bool to64 = (code.Attributes & SegmentState.Long) != 0;
            SegmentState ss = (ssSelector & 0xFFFC) == 0 && !to64
                ? RaiseNullStack()
                : CheckStackSegment(ssSelector, State->Cpl, Vector.GeneralProtection);
            State->Segments[(int)SegmentName.Ss] = ss;
            SetCode(code, State->Cpl);
            State->Gpr[4] = _is64Bit ? sp : (uint)sp;
            State->Rip = rip;
        }
        else
        {
            SetStackPointer(State->Gpr[4] + (ulong)(3 * size));
            SetCode(code, State->Cpl);
            State->Rip = rip;
        }

        LoadFlags(flags, size, kept);
    }

    private SegmentState RaiseNullStack()
    {
        RaiseGeneralProtection();
        return default;
    }

    private void InterruptReturnProtected(int size)
    {
        if ((State->SystemFlags & Rflags.NestedTask) != 0)
        {
            ReturnToTask(NextRip(State->Current));
            return;
        }

        ulong rip = PeekStack(0, size);
        ushort selector = (ushort)PeekStack(1, size);
        ulong flags = PeekStack(2, size);
        if (size == 4 && (flags & Rflags.Virtual8086) != 0 && State->Cpl == 0)
        {
            ReturnToVirtual8086(rip, selector, flags);
            return;
        }

        SegmentState code = CheckReturnCode(selector);
        ulong kept = KeptFlags();
        if ((selector & 3) != State->Cpl)
        {
            ulong sp = PeekStack(3, size);
            ushort ssSelector = (ushort)PeekStack(4, size);
            CheckReturnTarget(code, rip);
            ReturnOutward(code, rip, ssSelector, sp);
        }
        else
        {
            CheckReturnTarget(code, rip);
            SetStackPointer(State->Gpr[4] + (ulong)(3 * size));
            SetCode(code, State->Cpl);
            State->Rip = rip;
        }

        LoadFlags(flags, size, kept);
    }

    private void ReturnToVirtual8086(ulong rip, ushort selector, ulong flags)
    {
        if (rip > 0xFFFF)
        {
            RaiseGeneralProtection();
        }

        ulong sp = PeekStack(3, 4);
        ushort* selectors = stackalloc ushort[6];
        selectors[(int)SegmentName.Cs] = selector;
        selectors[(int)SegmentName.Ss] = (ushort)PeekStack(4, 4);
        selectors[(int)SegmentName.Es] = (ushort)PeekStack(5, 4);
        selectors[(int)SegmentName.Ds] = (ushort)PeekStack(6, 4);
        selectors[(int)SegmentName.Fs] = (ushort)PeekStack(7, 4);
        selectors[(int)SegmentName.Gs] = (ushort)PeekStack(8, 4);
        for (int n = 0; n < 6; n++)
        {
            State->Segments[n] = Virtual8086Segment((SegmentName)n, selectors[n]);
        }

        State->Gpr[4] = (uint)sp;
        State->Rip = rip;
        SetRflags(flags & Rflags.All);
        DeriveMode();
    }

    // Which flags IRET and POPF leave alone at this privilege.
    private ulong KeptFlags()
    {
        ulong kept = Rflags.Virtual8086;
        if (State->Cpl > 0)
        {
            kept |= Rflags.IoPrivilege | Rflags.VirtualInterrupt | Rflags.VirtualInterruptPending;
        }

        if (State->Cpl > (int)((State->SystemFlags >> 12) & 3))
        {
            kept |= Rflags.Interrupt;
        }

        return kept;
    }

    /// <summary>Sets the flags from an image of 2, 4 or 8 bytes, but for those kept.</summary>
    internal void LoadFlags(ulong image, int size, ulong kept)
    {
        ulong writable = (size == 2 ? 0xFFFFul : ulong.MaxValue) & Rflags.All & ~kept;
        SetRflags((image & writable) | (GetRflags() & ~writable & Rflags.All));
    }

    private SegmentState CheckReturnCode(ushort selector)
    {
        uint error = selector & 0xFFFCu;
        if (error == 0)
        {
            Raise(Vector.GeneralProtection, 0);
        }

        SegmentState code = ReadDescriptor(selector, Vector.GeneralProtection);
        uint attributes = code.Attributes;
        int rpl = selector & 3;
        bool conforming = (attributes & SegmentState.Conforming) != 0;
        const uint wanted = SegmentState.NonSystem | SegmentState.Code;
        if ((attributes & wanted) != wanted || rpl < State->Cpl || (conforming ? code.Dpl > rpl : code.Dpl != rpl)
            || (_isLongMode && (attributes & (SegmentState.Long | SegmentState.Big)) == (SegmentState.Long | SegmentState.Big)))
        {
            Raise(Vector.GeneralProtection, error);
        }

        if ((attributes & SegmentState.Present) == 0)
        {
            Raise(Vector.SegmentNotPresent, error);
        }

        MarkAccessed(ref code);
        return code;
    }

    private void CheckReturnTarget(SegmentState code, ulong rip)
    {
        bool to64 = _isLongMode && (code.Attributes & SegmentState.Long) != 0;
        if (to64 ? !IsCanonical(rip) : rip > code.Limit)
        {
            Raise(Vector.GeneralProtection, 0);
        }
    }

    private void ReturnOutward(SegmentState code, ulong rip, ushort ssSelector, ulong sp)
    {
        int cpl = code.Selector & 3;
        bool to64 = _isLongMode && (code.Attributes & SegmentState.Long) != 0;
        if ((ssSelector & 0xFFFC) == 0 && (!to64 || cpl == 3))
        {
            RaiseGeneralProtection();
        }

        SegmentState ss = CheckStackSegment(ssSelector, cpl, Vector.GeneralProtection);
        State->Segments[(int)SegmentName.Ss] = ss;
        SetCode(code, cpl);
        SetStackPointer(sp);
        State->Rip = rip;

        // Segments that the new privilege may not use become null (vol. 2, IRET).
        for (var name = SegmentName.Es; name <= SegmentName.Gs; name++)
        {
            if (name is SegmentName.Cs or SegmentName.Ss)
            {
                continue;
            }

            ref SegmentState segment = ref State->Segments[(int)name];
            bool conforming = (segment.Attributes & (SegmentState.Code | SegmentState.Conforming)) == (SegmentState.Code | SegmentState.Conforming);
            if (segment.IsUsable && segment.Dpl < cpl && !conforming)
            {
                ulong keptBase = segment.Base;
                segment = new SegmentState { Attributes = SegmentState.Unusable, Base = keptBase };
            }
        }
    }
}
