using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Kvm;

namespace Hypervisor.Engine.Partitions.Kvm;

public sealed unsafe partial class KvmVirtualProcessor
{
    /// <summary>Legacy area and header of an XSAVE image (Intel SDM vol. 1, 13.4).</summary>
    private const int LegacyAndHeaderBytes = 576;
    private const int StateBitmapOffset = 512;

    /// <summary>x87 and SSE, the components of the legacy area.</summary>
    private const ulong LegacyComponents = 3;

    private readonly int _extendedStateBytes;

    /// <inheritdoc/>
    public GeneralRegisters GetGeneralRegisters()
    {
        var registers = default(GeneralRegisters);
        KvmCalls.Check(_descriptor.Control(KvmRequest.GetRegs, ref registers), "read the registers");
        return registers;
    }

    /// <inheritdoc/>
    public void SetGeneralRegisters(in GeneralRegisters registers)
    {
        var copy = registers;
        KvmCalls.Check(_descriptor.Control(KvmRequest.SetRegs, ref copy), "set the registers");
    }

    /// <inheritdoc/>
    public SystemRegisters GetSystemRegisters()
    {
        var source = GetSregs();
        return new SystemRegisters
        {
            Cs = FromKvm(source.Cs),
            Ds = FromKvm(source.Ds),
            Es = FromKvm(source.Es),
            Fs = FromKvm(source.Fs),
            Gs = FromKvm(source.Gs),
            Ss = FromKvm(source.Ss),
            Tr = FromKvm(source.Tr),
            Ldt = FromKvm(source.Ldt),
            Gdt = new DescriptorTableRegister { Base = source.Gdt.Base, Limit = source.Gdt.Limit },
            Idt = new DescriptorTableRegister { Base = source.Idt.Base, Limit = source.Idt.Limit },
            Cr0 = source.Cr0,
            Cr2 = source.Cr2,
            Cr3 = source.Cr3,
            Cr4 = source.Cr4,
            Cr8 = source.Cr8,
            Efer = source.Efer,
            ApicBase = source.ApicBase,
        };
    }

    /// <inheritdoc/>
    public void SetSystemRegisters(in SystemRegisters registers)
    {
        // What this structure does not name (an interrupt under injection) stays.
        var target = GetSregs();
        target.Cs = ToKvm(registers.Cs);
        target.Ds = ToKvm(registers.Ds);
        target.Es = ToKvm(registers.Es);
        target.Fs = ToKvm(registers.Fs);
        target.Gs = ToKvm(registers.Gs);
        target.Ss = ToKvm(registers.Ss);
        target.Tr = ToKvm(registers.Tr);
        target.Ldt = ToKvm(registers.Ldt);
        target.Gdt = new KvmDescriptorTable { Base = registers.Gdt.Base, Limit = registers.Gdt.Limit };
        target.Idt = new KvmDescriptorTable { Base = registers.Idt.Base, Limit = registers.Idt.Limit };
        target.Cr0 = registers.Cr0;
        target.Cr2 = registers.Cr2;
        target.Cr3 = registers.Cr3;
        target.Cr4 = registers.Cr4;
        target.Cr8 = registers.Cr8;
        target.Efer = registers.Efer;
        target.ApicBase = registers.ApicBase;
        KvmCalls.Check(_descriptor.Control(KvmRequest.SetSregs, ref target), "set the system registers");
    }

    /// <inheritdoc/>
    public int GetExtendedState(Span<byte> xsave)
    {
        if (xsave.Length < LegacyAndHeaderBytes)
        {
            throw new ArgumentException($"An XSAVE image takes at least {LegacyAndHeaderBytes} bytes.", nameof(xsave));
        }

        byte* buffer = (byte*)NativeMemory.AllocZeroed((nuint)_extendedStateBytes);
        try
        {
            // SAFETY: the buffer has the size that the kernel told for this request (4096 for the older one).
            uint request = _extendedStateBytes > 4096 ? KvmRequest.GetXsave2 : KvmRequest.GetXsave;
            KvmCalls.Check(_descriptor.Control(request, (nint)buffer), "read the extended state");
            int length = Math.Min(xsave.Length, _extendedStateBytes);
            new ReadOnlySpan<byte>(buffer, length).CopyTo(xsave);
            if (length < _extendedStateBytes && length < 4096)
            {
                // Components that were cut off are not in the image.
                ref ulong present = ref MemoryMarshal.AsRef<ulong>(xsave[StateBitmapOffset..]);
                present &= LegacyComponents;
            }

            return length;
        }
        finally
        {
            NativeMemory.Free(buffer);
        }
    }

    /// <inheritdoc/>
    public void SetExtendedState(ReadOnlySpan<byte> xsave)
    {
        if (xsave.Length < LegacyAndHeaderBytes)
        {
            throw new ArgumentException($"An XSAVE image takes at least {LegacyAndHeaderBytes} bytes.", nameof(xsave));
        }

        byte* buffer = (byte*)NativeMemory.AllocZeroed((nuint)_extendedStateBytes);
        try
        {
            // SAFETY: as above; the image is cut to the buffer.
            xsave[..Math.Min(xsave.Length, _extendedStateBytes)].CopyTo(new Span<byte>(buffer, _extendedStateBytes));
            KvmCalls.Check(_descriptor.Control(KvmRequest.SetXsave, (nint)buffer), "set the extended state");
        }
        finally
        {
            NativeMemory.Free(buffer);
        }
    }

    /// <summary>Pending exceptions, interrupts and NMIs, for saving a machine's state.</summary>
    internal KvmVcpuEvents Events
    {
        get
        {
            var events = default(KvmVcpuEvents);
            KvmCalls.Check(_descriptor.Control(KvmRequest.GetVcpuEvents, ref events), "read the pending events");
            return events;
        }
        set => KvmCalls.Check(_descriptor.Control(KvmRequest.SetVcpuEvents, ref value), "set the pending events");
    }

    /// <summary>DR0 to DR3, DR6 and DR7.</summary>
    internal KvmDebugRegisters DebugRegisters
    {
        get
        {
            var registers = default(KvmDebugRegisters);
            KvmCalls.Check(_descriptor.Control(KvmRequest.GetDebugRegs, ref registers), "read the debug registers");
            return registers;
        }
        set => KvmCalls.Check(_descriptor.Control(KvmRequest.SetDebugRegs, ref value), "set the debug registers");
    }

    /// <summary>XCR0; null where host or guest has no XSAVE.</summary>
    internal ulong? ExtendedControl
    {
        get
        {
            var registers = default(KvmXcrs);
            return _descriptor.Control(KvmRequest.GetXcrs, ref registers) >= 0 && registers.Count > 0 ? registers.FirstValue : null;
        }
        set
        {
            if (value is { } xcr0)
            {
                var registers = new KvmXcrs { Count = 1, FirstValue = xcr0 };
                KvmCalls.Check(_descriptor.Control(KvmRequest.SetXcrs, ref registers), "set XCR0");
            }
        }
    }

    /// <summary>Whether the processor runs, halts, or waits for INIT or SIPI.</summary>
    internal KvmMpState MpState
    {
        get
        {
            uint state = 0;
            KvmCalls.Check(_descriptor.Control(KvmRequest.GetMpState, ref state), "read the processor's activity");
            return (KvmMpState)state;
        }
        set
        {
            uint state = (uint)value;
            KvmCalls.Check(_descriptor.Control(KvmRequest.SetMpState, ref state), "set the processor's activity");
        }
    }

    /// <summary>The registers of the local APIC.</summary>
    internal KvmLapicState LocalApic
    {
        get
        {
            var state = default(KvmLapicState);
            KvmCalls.Check(_descriptor.Control(KvmRequest.GetLapic, ref state), "read the local APIC");
            return state;
        }
        set => KvmCalls.Check(_descriptor.Control(KvmRequest.SetLapic, ref value), "set the local APIC");
    }

    /// <summary>Frequency of the guest's TSC in kHz; 0 where the kernel does not tell.</summary>
    internal uint GetTscKhz() => (uint)Math.Max(_descriptor.Control(KvmRequest.GetTscKhz), 0);

    /// <summary>Sets the frequency of the guest's TSC; false where the processor cannot scale it.</summary>
    internal bool TrySetTscKhz(uint kilohertz) => _descriptor.Control(KvmRequest.SetTscKhz, (nint)kilohertz) >= 0;

    /// <summary>Tells the guest's watchdogs that it was paused; false where it has no paravirtual clock running.</summary>
    internal bool NotifyPaused() => _descriptor.Control(KvmRequest.KvmClockControl) >= 0;

    private KvmSregs GetSregs()
    {
        var registers = default(KvmSregs);
        KvmCalls.Check(_descriptor.Control(KvmRequest.GetSregs, ref registers), "read the system registers");
        return registers;
    }

    private static SegmentRegister FromKvm(in KvmSegment segment) => new()
    {
        Base = segment.Base,
        Limit = segment.Limit,
        Selector = segment.Selector,
        Attributes = (uint)((segment.Type & 15) | ((segment.S & 1) << 4) | ((segment.Dpl & 3) << 5) | ((segment.Present & 1) << 7)
            | ((segment.Avl & 1) << 12) | ((segment.L & 1) << 13) | ((segment.Db & 1) << 14) | ((segment.G & 1) << 15))
            | (segment.Unusable != 0 ? SegmentRegister.Unusable : 0),
    };

    private static KvmSegment ToKvm(in SegmentRegister segment)
    {
        uint attributes = segment.Attributes;
        return new KvmSegment
        {
            Base = segment.Base,
            Limit = segment.Limit,
            Selector = segment.Selector,
            Type = (byte)(attributes & 15),
            S = (byte)((attributes >> 4) & 1),
            Dpl = (byte)((attributes >> 5) & 3),
            Present = (byte)((attributes >> 7) & 1),
            Avl = (byte)((attributes >> 12) & 1),
            L = (byte)((attributes >> 13) & 1),
            Db = (byte)((attributes >> 14) & 1),
            G = (byte)((attributes >> 15) & 1),
            Unusable = (attributes & SegmentRegister.Unusable) != 0 ? (byte)1 : (byte)0,
        };
    }
}
