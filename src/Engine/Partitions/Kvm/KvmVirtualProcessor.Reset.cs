using Hypervisor.Engine.Native.Kvm;

namespace Hypervisor.Engine.Partitions.Kvm;

public sealed unsafe partial class KvmVirtualProcessor
{
    private const uint TimeStampCounter = 0x10;

    private PowerOnState? _powerOn;
    private uint _signature;

    /// <summary>Everything a reset gives back, as the kernel made the processor.</summary>
    private sealed class PowerOnState
    {
        public KvmSregs Sregs;
        public KvmLapicState LocalApic;
        public KvmDebugRegisters DebugRegisters;
        public ulong? ExtendedControl;
        public byte[] ExtendedState = [];
        public (uint Index, ulong Value)[] Msrs = [];
    }

    /// <summary>
    /// Processor 0 goes to its reset vector, others wait for INIT and SIPI. Processor 0 takes the partition's I/O APIC, PIC and PIT
    /// with it, as they hang on the same line. The TSC runs on.
    /// </summary>
    public void Reset()
    {
        var state = _powerOn!;
        Interlocked.Exchange(ref _nmiPending, 0);
        if (Index == 0)
        {
            _partition.ResetInterruptControllers();
        }

        // The base address decides in which mode the APIC's registers are taken, so system registers come first.
        KvmCalls.Check(_descriptor.Control(KvmRequest.SetSregs, ref state.Sregs), "reset the system registers");
        LocalApic = state.LocalApic;
        foreach (var (index, value) in state.Msrs)
        {
            // A register that the kernel lists and reads but does not take back is one that it computes itself.
            TrySetMsr(index, value);
        }

        ExtendedControl = state.ExtendedControl;
        SetExtendedState(state.ExtendedState);
        DebugRegisters = state.DebugRegisters;
        Events = new KvmVcpuEvents { Flags = KvmVcpuEvents.ValidNmiPending | KvmVcpuEvents.ValidSipiVector | KvmVcpuEvents.ValidShadow };

        // Intel SDM vol. 3A, table 10-1: RDX holds the processor's signature, everything else is 0.
        SetGeneralRegisters(new GeneralRegisters { Rip = 0xFFF0, Rflags = 2, Rdx = _signature });
        MpState = Index == 0 ? KvmMpState.Runnable : KvmMpState.Uninitialized;
    }

    /// <summary>Gives a new processor its CPUID and remembers its power-on state.</summary>
    internal void Initialize(KvmCpuidEntry[] leaves, uint[] msrs)
    {
        var cpuid = new KvmCpuid { Count = (uint)leaves.Length };
        leaves.CopyTo((Span<KvmCpuidEntry>)cpuid.Entries);
        KvmCalls.Check(_descriptor.Control(KvmRequest.SetCpuid2, ref cpuid), "set the CPUID leaves");
        _signature = leaves.FirstOrDefault(leaf => leaf.Function == 1).Eax;

        byte[] extendedState = new byte[_extendedStateBytes];
        GetExtendedState(extendedState);
        var values = new List<(uint, ulong)>(msrs.Length);
        foreach (uint index in msrs)
        {
            if (index != TimeStampCounter && TryGetMsr(index, out ulong value))
            {
                values.Add((index, value));
            }
        }

        _powerOn = new PowerOnState
        {
            Sregs = GetSregs(),
            LocalApic = LocalApic,
            DebugRegisters = DebugRegisters,
            ExtendedControl = ExtendedControl,
            ExtendedState = extendedState,
            Msrs = [.. values],
        };
        SetGeneralRegisters(new GeneralRegisters { Rip = 0xFFF0, Rflags = 2, Rdx = _signature });
    }
}
