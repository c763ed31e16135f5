namespace Hypervisor.Engine.Processor;

// Descriptors and loads of segment registers (Intel SDM vol. 3A, chapters 3 and 5).
public sealed unsafe partial class X86Processor
{
    /// <summary>Reads a code, data or system descriptor; raises when the selector lies outside its table.</summary>
    internal SegmentState ReadDescriptor(ushort selector, Vector vector, uint external = 0)
    {
        if (!TryDescriptorAddress(selector, out ulong address))
        {
            Raise(vector, (selector & 0xFFFCu) | external);
        }

        return ParseDescriptor(selector, ReadSystem<ulong>(address));
    }

    /// <summary>Where a selector's descriptor lies; false outside its table.</summary>
    internal bool TryDescriptorAddress(ushort selector, out ulong address)
    {
        uint offset = selector & 0xFFF8u;
        if ((selector & 4) != 0)
        {
            ref SegmentState ldt = ref State->Segments[(int)SegmentName.Ldtr];
            address = ldt.Base + offset;
            return ldt.IsUsable && offset + 7 <= ldt.Limit;
        }

        address = State->GdtBase + offset;
        return offset + 7 <= State->GdtLimit;
    }

    internal static SegmentState ParseDescriptor(ushort selector, ulong descriptor)
    {
        uint attributes = (uint)(descriptor >> 40) & 0xF0FF;
        uint limit = (uint)(descriptor & 0xFFFF) | ((uint)(descriptor >> 32) & 0xF0000);
        if ((attributes & SegmentState.Granular) != 0)
        {
            limit = (limit << 12) | 0xFFF;
        }

        return new SegmentState
        {
            Selector = selector,
            Attributes = attributes,
            Limit = limit,
            Base = ((descriptor >> 16) & 0xFF_FFFF) | ((descriptor >> 32) & 0xFF00_0000),
        };
    }

    /// <summary>MOV, POP and far-pointer loads of ES, SS, DS, FS and GS.</summary>
    internal void LoadSegment(SegmentName name, ushort selector)
    {
        if (IsRealOrVirtual8086)
        {
            // The limit stays: that is what big real mode lives on.
            ref SegmentState segment = ref State->Segments[(int)name];
            segment.Selector = selector;
            segment.Base = (ulong)selector << 4;
            if (IsVirtual8086)
            {
                segment.Limit = 0xFFFF;
                segment.Attributes = 0xF3;
            }
            else
            {
                segment.Attributes = (segment.Attributes & ~(SegmentState.Unusable | 0xFu)) | 0x93;
            }

            return;
        }

        State->Segments[(int)name] = name == SegmentName.Ss ? CheckStackSegment(selector, State->Cpl, Vector.GeneralProtection)
            : CheckDataSegment(name, selector);
    }

    private SegmentState CheckDataSegment(SegmentName name, ushort selector)
    {
        if ((selector & 0xFFFC) == 0)
        {
            // In 64-bit mode FS and GS keep nothing of their base when a null selector is loaded (Intel; AMD keeps it).
            return new SegmentState { Selector = selector, Attributes = SegmentState.Unusable };
        }

        uint error = selector & 0xFFFCu;
        SegmentState segment = ReadDescriptor(selector, Vector.GeneralProtection);
        uint attributes = segment.Attributes;
        bool code = (attributes & SegmentState.Code) != 0;
        bool conforming = code && (attributes & SegmentState.Conforming) != 0;
        if ((attributes & SegmentState.NonSystem) == 0
            || (code && (attributes & SegmentState.Writable) == 0)
            || (!conforming && (segment.Dpl < State->Cpl || segment.Dpl < (selector & 3))))
        {
            Raise(Vector.GeneralProtection, error);
        }

        if ((attributes & SegmentState.Present) == 0)
        {
            Raise(Vector.SegmentNotPresent, error);
        }

        MarkAccessed(ref segment);
        _ = name;
        return segment;
    }

    /// <summary>What SS becomes; raises what a load of it raises.</summary>
    internal SegmentState CheckStackSegment(ushort selector, int cpl, Vector vector)
    {
        uint error = selector & 0xFFFCu;
        if (error == 0)
        {
            if (!_isLongMode || cpl == 3 || (selector & 3) != cpl)
            {
                Raise(vector, 0);
            }

            return new SegmentState { Selector = selector, Attributes = SegmentState.Unusable | ((uint)cpl << 5) };
        }

        SegmentState segment = ReadDescriptor(selector, vector);
        const uint wanted = SegmentState.NonSystem | SegmentState.Writable;
        if ((segment.Attributes & (wanted | SegmentState.Code)) != wanted || (selector & 3) != cpl || segment.Dpl != cpl)
        {
            Raise(vector, error);
        }

        if ((segment.Attributes & SegmentState.Present) == 0)
        {
            Raise(Vector.StackFault, error);
        }

        MarkAccessed(ref segment);
        return segment;
    }

    internal void MarkAccessed(ref SegmentState segment)
    {
        if ((segment.Attributes & SegmentState.Accessed) == 0 && TryDescriptorAddress(segment.Selector, out ulong address))
        {
            byte type = ReadSystem<byte>(address + 5);
            WriteSystem(address + 5, (byte)(type | 1));
            segment.Attributes |= SegmentState.Accessed;
        }
    }

    /// <summary>LLDT and LTR: the descriptor of 16 bytes in long mode.</summary>
    internal SegmentState ReadSystemDescriptor(ushort selector, Vector vector, out ulong address)
    {
        uint error = selector & 0xFFFCu;
        if ((selector & 4) != 0 || !TryDescriptorAddress(selector, out address) || (_isLongMode && (selector & 0xFFF8u) + 15 > State->GdtLimit))
        {
            address = 0;
            Raise(vector, error);
        }

        SegmentState segment = ParseDescriptor(selector, ReadSystem<ulong>(address));
        if (_isLongMode)
        {
            segment.Base |= ReadSystem<ulong>(address + 8) << 32;
        }

        return segment;
    }

    /// <summary>
    /// A far JMP or CALL to a selector. Returns RIP's next value after CS is set; a call has pushed its return address with
    /// operands of <paramref name="size"/> bytes.
    /// </summary>
    internal void FarTransfer(DecodedInstruction* i, ushort selector, ulong offset, int size, bool call)
    {
        ulong next = NextRip(i);
        if (IsRealOrVirtual8086)
        {
            offset = size == 2 ? (ushort)offset : (uint)offset;
            if (offset > State->Segments[(int)SegmentName.Cs].Limit)
            {
                RaiseGeneralProtection();
            }

            if (call)
            {
                PushFar(size, State->Segments[(int)SegmentName.Cs].Selector, next);
            }

            LoadRealCode(selector);
            State->Rip = offset;
            return;
        }

        uint error = selector & 0xFFFCu;
        if (error == 0)
        {
            Raise(Vector.GeneralProtection, 0);
        }

        SegmentState code = ReadDescriptor(selector, Vector.GeneralProtection);
        if ((code.Attributes & SegmentState.NonSystem) == 0)
        {
            FarThroughSystem(code, selector, call, next);
            return;
        }

        CheckFarCode(code, selector, State->Cpl);
        offset = size == 2 ? (ushort)offset : size == 4 ? (uint)offset : offset;
        CheckReturnTarget(code, offset);
        MarkAccessed(ref code);
        if (call)
        {
            PushFar(size, State->Segments[(int)SegmentName.Cs].Selector, next);
        }

        SetCode(code, State->Cpl);
        State->Rip = offset;
    }

    // CS of real and virtual-8086 mode; real mode keeps the limit.
    private void LoadRealCode(ushort selector)
    {
        ref SegmentState cs = ref State->Segments[(int)SegmentName.Cs];
        if (IsVirtual8086)
        {
            cs = Virtual8086Segment(SegmentName.Cs, selector);
        }
        else
        {
            cs.Selector = selector;
            cs.Base = (ulong)selector << 4;
        }

        DeriveMode();
    }

    private static SegmentState Virtual8086Segment(SegmentName name, ushort selector) => new()
    {
        Selector = selector,
        Base = (ulong)selector << 4,
        Limit = 0xFFFF,
        Attributes = name == SegmentName.Cs ? 0xFBu : 0xF3u,
    };

    private void CheckFarCode(SegmentState code, ushort selector, int cpl)
    {
        uint error = selector & 0xFFFCu;
        bool conforming = (code.Attributes & SegmentState.Conforming) != 0;
        if ((code.Attributes & SegmentState.Code) == 0
            || (conforming ? code.Dpl > cpl : (selector & 3) > cpl || code.Dpl != cpl)
            || (_isLongMode && (code.Attributes & (SegmentState.Long | SegmentState.Big)) == (SegmentState.Long | SegmentState.Big)))
        {
            Raise(Vector.GeneralProtection, error);
        }

        if ((code.Attributes & SegmentState.Present) == 0)
        {
            Raise(Vector.SegmentNotPresent, error);
        }
    }

    internal void SetCode(SegmentState code, int cpl)
    {
        code.Selector = (ushort)((code.Selector & 0xFFFC) | cpl);
        State->Segments[(int)SegmentName.Cs] = code;
        ref SegmentState ss = ref State->Segments[(int)SegmentName.Ss];
        ss.Attributes = (ss.Attributes & ~0x60u) | ((uint)cpl << 5);
        DeriveMode();
    }

    private void PushFar(int size, ushort selector, ulong rip)
    {
        ulong sp = State->Gpr[4];
        // Both slots are checked before the first is written.
        ulong first = StackAddress(ref sp, size, AccessKind.Write);
        ulong second = StackAddress(ref sp, size, AccessKind.Write);
        ProbeRange(second, size, AccessKind.Write);
        WriteSized(first, size, selector);
        WriteSized(second, size, rip);
        State->Gpr[4] = sp;
    }

    // Moves a stack pointer down by one slot and returns the slot's linear address.
    private ulong StackAddress(ref ulong sp, int size, AccessKind kind)
    {
        if (_is64Bit)
        {
            sp -= (ulong)size;
            return sp;
        }

        ulong mask = StackMask;
        sp = mask == 0xFFFF ? (sp & ~mask) | ((sp - (ulong)size) & mask) : (sp - (ulong)size) & mask;
        return SegmentedAddress(SegmentName.Ss, sp & mask, (uint)size, kind);
    }

    /// <summary>Which bits of RSP address the stack.</summary>
    internal ulong StackMask => _is64Bit ? ulong.MaxValue
        : (State->Segments[(int)SegmentName.Ss].Attributes & SegmentState.Big) != 0 ? 0xFFFF_FFFF : 0xFFFFul;

    internal void WriteSized(ulong linear, int size, ulong value)
    {
        switch (size)
        {
            case 2: Write(linear, (ushort)value); break;
            case 4: Write(linear, (uint)value); break;
            default: Write(linear, value); break;
        }
    }

    internal ulong ReadSized(ulong linear, int size) => size switch
    {
        2 => Read<ushort>(linear),
        4 => Read<uint>(linear),
        _ => Read<ulong>(linear),
    };
}
