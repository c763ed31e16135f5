using Hypervisor.Engine.Native.Whp;

namespace Hypervisor.Engine.Partitions.Whp;

public sealed unsafe partial class WhpVirtualProcessor
{
    /// <summary>Images of the hypervisor are at most this long with every component known today.</summary>
    private const int LargestExtendedState = 16384;

    private static readonly ExtendedStateLayout ExtendedLayout = ExtendedStateLayout.ForHost();

    /// <summary>In the order of <see cref="GeneralRegisters"/>.</summary>
    private static ReadOnlySpan<WhpRegister> GeneralNames =>
    [
        WhpRegister.Rax, WhpRegister.Rbx, WhpRegister.Rcx, WhpRegister.Rdx, WhpRegister.Rsi, WhpRegister.Rdi, WhpRegister.Rsp, WhpRegister.Rbp,
        WhpRegister.R8, WhpRegister.R9, WhpRegister.R10, WhpRegister.R11, WhpRegister.R12, WhpRegister.R13, WhpRegister.R14, WhpRegister.R15,
        WhpRegister.Rip, WhpRegister.Rflags,
    ];

    private static ReadOnlySpan<WhpRegister> SystemNames =>
    [
        WhpRegister.Cs, WhpRegister.Ds, WhpRegister.Es, WhpRegister.Fs, WhpRegister.Gs, WhpRegister.Ss, WhpRegister.Tr, WhpRegister.Ldtr,
        WhpRegister.Gdtr, WhpRegister.Idtr,
        WhpRegister.Cr0, WhpRegister.Cr2, WhpRegister.Cr3, WhpRegister.Cr4, WhpRegister.Cr8, WhpRegister.Efer, WhpRegister.ApicBase,
    ];

    /// <inheritdoc/>
    public GeneralRegisters GetGeneralRegisters()
    {
        Span<WhpRegisterValue> values = stackalloc WhpRegisterValue[18];
        Get(GeneralNames, values);
        var registers = default(GeneralRegisters);
        ulong* target = &registers.Rax;
        for (int i = 0; i < values.Length; i++)
        {
            // SAFETY: the structure is 18 words in the order of the names.
            target[i] = values[i].Low;
        }

        return registers;
    }

    /// <inheritdoc/>
    public void SetGeneralRegisters(in GeneralRegisters registers)
    {
        Span<WhpRegisterValue> values = stackalloc WhpRegisterValue[18];
        fixed (ulong* source = &registers.Rax)
        {
            for (int i = 0; i < values.Length; i++)
            {
                // SAFETY: as above.
                values[i].Low = source[i];
            }
        }

        Set(GeneralNames, values);
    }

    /// <inheritdoc/>
    public SystemRegisters GetSystemRegisters()
    {
        Span<WhpRegisterValue> v = stackalloc WhpRegisterValue[17];
        Get(SystemNames, v);
        return new SystemRegisters
        {
            Cs = FromWhp(v[0].Segment),
            Ds = FromWhp(v[1].Segment),
            Es = FromWhp(v[2].Segment),
            Fs = FromWhp(v[3].Segment),
            Gs = FromWhp(v[4].Segment),
            Ss = FromWhp(v[5].Segment),
            Tr = FromWhp(v[6].Segment),
            Ldt = FromWhp(v[7].Segment),
            Gdt = new DescriptorTableRegister { Base = v[8].Table.Base, Limit = v[8].Table.Limit },
            Idt = new DescriptorTableRegister { Base = v[9].Table.Base, Limit = v[9].Table.Limit },
            Cr0 = v[10].Low,
            Cr2 = v[11].Low,
            Cr3 = v[12].Low,
            Cr4 = v[13].Low,
            Cr8 = v[14].Low,
            Efer = v[15].Low,
            ApicBase = v[16].Low,
        };
    }

    /// <inheritdoc/>
    public void SetSystemRegisters(in SystemRegisters registers)
    {
        Span<WhpRegisterValue> v = stackalloc WhpRegisterValue[17];
        v.Clear();
        v[0].Segment = ToWhp(registers.Cs);
        v[1].Segment = ToWhp(registers.Ds);
        v[2].Segment = ToWhp(registers.Es);
        v[3].Segment = ToWhp(registers.Fs);
        v[4].Segment = ToWhp(registers.Gs);
        v[5].Segment = ToWhp(registers.Ss);
        v[6].Segment = ToWhp(registers.Tr);
        v[7].Segment = ToWhp(registers.Ldt);
        v[8].Table = new WhpTable { Base = registers.Gdt.Base, Limit = registers.Gdt.Limit };
        v[9].Table = new WhpTable { Base = registers.Idt.Base, Limit = registers.Idt.Limit };
        v[10].Low = registers.Cr0;
        v[11].Low = registers.Cr2;
        v[12].Low = registers.Cr3;
        v[13].Low = registers.Cr4;
        v[14].Low = registers.Cr8;
        v[15].Low = registers.Efer;
        v[16].Low = registers.ApicBase;
        Set(SystemNames, v);
    }

    /// <inheritdoc/>
    public bool TryGetMsr(uint index, out ulong value)
    {
        value = 0;
        if (WhpMsrs.Find(index) is not { } name)
        {
            return false;
        }

        var result = default(WhpRegisterValue);
        bool known = _handle.GetRegisters(Index, &name, 1, &result) >= 0;
        value = known ? result.Low : 0;
        return known;
    }

    /// <inheritdoc/>
    public bool TrySetMsr(uint index, ulong value)
    {
        if (WhpMsrs.Find(index) is not { } name)
        {
            return false;
        }

        var buffer = new WhpRegisterValue { Low = value };
        return _handle.SetRegisters(Index, &name, 1, &buffer) >= 0;
    }

    /// <inheritdoc/>
    public int GetExtendedState(Span<byte> xsave)
    {
        RequireExtendedLength(xsave.Length);
        Span<byte> image = stackalloc byte[LargestExtendedState];
        WhpCalls.Check(_handle.GetXsave(Index, image, out int written), "read the extended state");
        return ExtendedLayout.ToStandard(image[..written], xsave);
    }

    /// <inheritdoc/>
    public void SetExtendedState(ReadOnlySpan<byte> xsave)
    {
        RequireExtendedLength(xsave.Length);
        Span<byte> image = stackalloc byte[LargestExtendedState];
        int length = ExtendedLayout.ToCompacted(xsave, image);
        WhpCalls.Check(_handle.SetXsave(Index, image[..length]), "set the extended state");
    }

    private static void RequireExtendedLength(int length)
    {
        if (length < ExtendedStateLayout.LegacyAndHeaderBytes)
        {
            throw new ArgumentException($"An XSAVE image takes at least {ExtendedStateLayout.LegacyAndHeaderBytes} bytes.");
        }
    }

    private void Get(ReadOnlySpan<WhpRegister> names, Span<WhpRegisterValue> values)
    {
        // SAFETY: both spans are pinned for the call and of one length.
        fixed (WhpRegister* n = names)
        fixed (WhpRegisterValue* v = values)
        {
            WhpCalls.Check(_handle.GetRegisters(Index, n, (uint)names.Length, v), "read registers");
        }
    }

    private void Set(ReadOnlySpan<WhpRegister> names, Span<WhpRegisterValue> values)
    {
        // SAFETY: as above.
        fixed (WhpRegister* n = names)
        fixed (WhpRegisterValue* v = values)
        {
            WhpCalls.Check(_handle.SetRegisters(Index, n, (uint)names.Length, v), "set registers");
        }
    }

    private static SegmentRegister FromWhp(in WhpSegment segment) => new()
    {
        Base = segment.Base,
        Limit = segment.Limit,
        Selector = segment.Selector,

        // The platform has no mark for a null register; one that is not present serves as such.
        Attributes = segment.Attributes | ((segment.Attributes & 0x80) == 0 ? SegmentRegister.Unusable : 0),
    };

    private static WhpSegment ToWhp(in SegmentRegister segment) => new()
    {
        Base = segment.Base,
        Limit = segment.Limit,
        Selector = segment.Selector,
        Attributes = (ushort)((segment.Attributes & SegmentRegister.Unusable) != 0 ? segment.Attributes & 0xFF7F : segment.Attributes),
    };
}
