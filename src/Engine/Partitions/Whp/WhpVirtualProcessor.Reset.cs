using System.Runtime.Intrinsics.X86;
using Hypervisor.Engine.Native.Whp;

namespace Hypervisor.Engine.Partitions.Whp;

public sealed unsafe partial class WhpVirtualProcessor
{
    private const int ApicPageBytes = 4096;

    private readonly byte[] _powerOnApic = new byte[ApicPageBytes];
    private readonly List<(uint Index, ulong Value)> _powerOnMsrs = [];
    private byte[] _powerOnExtendedState = [];
    private SystemRegisters _powerOnSystem;

    /// <summary>Processor 0 goes to its reset vector, others wait for SIPI. The TSC runs on.</summary>
    public void Reset()
    {
        // Intel SDM vol. 3A, table 10-1. A new processor of the platform is in this state, whose hidden parts are kept from there.
        var system = _powerOnSystem;
        system.Cs = new SegmentRegister { Base = 0xFFFF_0000, Limit = 0xFFFF, Selector = 0xF000, Attributes = 0x9B };
        system.Ds = system.Es = system.Fs = system.Gs = system.Ss = new SegmentRegister { Limit = 0xFFFF, Attributes = 0x93 };
        system.Ldt = new SegmentRegister { Limit = 0xFFFF, Attributes = 0x82 };
        system.Tr = new SegmentRegister { Limit = 0xFFFF, Attributes = 0x8B };
        system.Gdt = system.Idt = new DescriptorTableRegister { Limit = 0xFFFF };
        system.Cr0 = 0x6000_0010;
        system.Cr2 = system.Cr3 = system.Cr4 = system.Cr8 = system.Efer = 0;
        SetSystemRegisters(system);
        foreach (var (index, value) in _powerOnMsrs)
        {
            TrySetMsr(index, value);
        }

        SetExtendedState(_powerOnExtendedState);
        WhpCalls.Check(_handle.SetLocalApic(Index, _powerOnApic), "reset the local APIC");
        uint signature = X86Base.IsSupported ? (uint)X86Base.CpuId(1, 0).Eax : 0;
        SetGeneralRegisters(new GeneralRegisters { Rip = 0xFFF0, Rflags = 2, Rdx = signature });

        // Nothing pending; bit 0 of the activity: waiting for a start-up IPI.
        var names = stackalloc WhpRegister[4]
        {
            WhpRegister.PendingInterruption, WhpRegister.InterruptState, WhpRegister.DeliverabilityNotifications, WhpRegister.InternalActivityState,
        };
        var values = stackalloc WhpRegisterValue[4];
        values[3].Low = Index == 0 ? 0u : 1u;
        WhpCalls.Check(_handle.SetRegisters(Index, names, 4, values), "reset the processor's activity");
        _windowRequested = false;
    }

    private void CapturePowerOnState()
    {
        _powerOnSystem = GetSystemRegisters();
        WhpCalls.Check(_handle.GetLocalApic(Index, _powerOnApic), "read the local APIC");
        foreach (uint index in WhpMsrs.Resettable)
        {
            if (TryGetMsr(index, out ulong value))
            {
                _powerOnMsrs.Add((index, value));
            }
        }

        _powerOnExtendedState = new byte[Math.Max(ExtendedLayout.StandardBytes, ExtendedStateLayout.LegacyAndHeaderBytes)];
        GetExtendedState(_powerOnExtendedState);
    }
}
