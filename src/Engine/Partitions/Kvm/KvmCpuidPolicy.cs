using System.Numerics;
using System.Runtime.Intrinsics.X86;
using Hypervisor.Engine.Native.Kvm;

namespace Hypervisor.Engine.Partitions.Kvm;

/// <summary>
/// Makes a guest's CPUID from what the host offers: takes away what this product does not virtualize (nested virtualization,
/// performance counters, SGX, processor trace, MONITOR) and what lies above the chosen model, and describes topology and clocks as
/// the machine has them. Bits are numbered as in Intel SDM vol. 2A (CPUID) and AMD APM vol. 3, appendix E.
/// </summary>
internal sealed class KvmCpuidPolicy
{
    private const uint HypervisorBase = 0x4000_0000, KvmFeatures = 0x4000_0001, TimingLeaf = 0x4000_0010;
    private const uint IntelEbx = 0x756E_6547;

    /// <summary>KVM counts the local APIC timer in nanoseconds.</summary>
    private const uint ApicTimerKilohertz = 1_000_000;

    private readonly List<KvmCpuidEntry> _leaves;
    private readonly int _processors, _coresPerSocket, _coreBits;
    private readonly bool _isIntel;

    internal KvmCpuidPolicy(KvmDevice device, PartitionOptions options, uint tscKilohertz)
        : this(device.GetSupportedCpuid(), options.ProcessorCount, options.CoresPerSocket, ProcessorModels.Parse(options.ProcessorModel),
            tscKilohertz, device.Check(KvmCapability.TscDeadlineTimer) != 0, device.KnowsFeatureMsr(0x10A))
    {
    }

    internal KvmCpuidPolicy(
        KvmCpuidEntry[] supported,
        int processors,
        int coresPerSocket,
        ProcessorModel model,
        uint tscKilohertz,
        bool tscDeadline,
        bool architecturalCapabilities)
    {
        _processors = processors;

        // An APIC id is the processor's index; only sockets of 2^n cores give every core of a socket the same upper bits.
        _coresPerSocket = coresPerSocket >= 1 && coresPerSocket <= processors && BitOperations.IsPow2(coresPerSocket) ? coresPerSocket : 1;
        _coreBits = BitOperations.Log2((uint)_coresPerSocket);
        _leaves = [.. supported];
        _isIntel = _leaves.Any(leaf => leaf.Function == 0 && leaf.Ebx == IntelEbx);
        RemoveUnsupported(tscDeadline, architecturalCapabilities);
        LimitTo(model);
        DescribeClocks(tscKilohertz);
        DescribeBrand();
        OffersKvmClock = _leaves.Any(leaf => leaf.Function == KvmFeatures && (leaf.Eax & (1 | 1 << 3)) != 0);
    }

    /// <summary>The kernel offers the paravirtual clock (KVM_FEATURE_CLOCKSOURCE or its successor).</summary>
    internal bool OffersKvmClock { get; }

    /// <summary>The leaves of one processor.</summary>
    internal KvmCpuidEntry[] ForProcessor(int index)
    {
        var leaves = new List<KvmCpuidEntry>(_leaves.Count + 4);
        foreach (var leaf in _leaves)
        {
            // Rebuilt below, level by level.
            if (leaf.Function is not (0xB or 0x1F))
            {
                leaves.Add(Place(leaf, index));
            }
        }

        if (_leaves.Any(leaf => leaf.Function == 0 && leaf.Eax >= 0xB))
        {
            AddTopology(leaves, 0xB, index);
        }

        if (_leaves.Any(leaf => leaf.Function == 0x1F))
        {
            AddTopology(leaves, 0x1F, index);
        }

        return [.. leaves];
    }

    private void RemoveUnsupported(bool tscDeadline, bool architecturalCapabilities)
    {
        Change(1, 0, (ref KvmCpuidEntry leaf) =>
        {
            // DTES64 2, MONITOR 3, DS-CPL 4, VMX 5, SMX 6, EIST 7, TM2 8, xTPR 14, PDCM 15, DCA 18.
            leaf.Ecx &= ~(Bit(2) | Bit(3) | Bit(4) | Bit(5) | Bit(6) | Bit(7) | Bit(8) | Bit(14) | Bit(15) | Bit(18));
            leaf.Ecx = (leaf.Ecx & ~Bit(24)) | (tscDeadline ? Bit(24) : 0);

            // A hypervisor is present; the in-kernel APIC has x2APIC mode.
            leaf.Ecx |= Bit(31) | Bit(21);

            // DS 21, ACPI thermal 22, TM 29, PBE 31.
            leaf.Edx &= ~(Bit(21) | Bit(22) | Bit(29) | Bit(31));
        });
        Change(7, 0, (ref KvmCpuidEntry leaf) =>
        {
            // SGX 2, RDT-M 12, RDT-A 15, processor trace 25; SGX launch control and PKS in ECX.
            leaf.Ebx &= ~(Bit(2) | Bit(12) | Bit(15) | Bit(25));
            leaf.Ecx &= ~(Bit(30) | Bit(31));
            if (!architecturalCapabilities)
            {
                // The bit promises register 10Ah, which this host refuses.
                leaf.Edx &= ~Bit(29);
            }
        });

        // SVM 2, IBS 10, SKINIT 12, WDT 13, LWP 15, core, northbridge and L3 performance counters 23, 24, 28, MONITORX 29.
        Change(0x8000_0001, 0, (ref KvmCpuidEntry leaf) =>
            leaf.Ecx &= ~(Bit(2) | Bit(10) | Bit(12) | Bit(13) | Bit(15) | Bit(23) | Bit(24) | Bit(28) | Bit(29)));

        // Thermal and power: only that the APIC timer never stops.
        Change(6, 0, (ref KvmCpuidEntry leaf) => (leaf.Eax, leaf.Ebx, leaf.Ecx, leaf.Edx) = (Bit(2), 0, 0, 0));

        // MWAIT, performance counters, RDT, SGX, trace, SVM, IBS, LWP, memory encryption, extended counters: absent. So is AMD's own
        // extended topology, which would tell of the host's; leaf Bh tells of the guest's.
        uint[] absent = [5, 0xA, 0xF, 0x10, 0x12, 0x14, 0x8000_000A, 0x8000_001B, 0x8000_001C, 0x8000_001F, 0x8000_0022, 0x8000_0026];
        _leaves.RemoveAll(leaf => absent.Contains(leaf.Function));
    }

    private void LimitTo(ProcessorModel model)
    {
        for (int i = _leaves.Count - 1; i >= 0; i--)
        {
            var leaf = _leaves[i];
            if (ProcessorModelMask.Apply(model, leaf.Function, leaf.Index, ref leaf.Eax, ref leaf.Ebx, ref leaf.Ecx, ref leaf.Edx))
            {
                _leaves[i] = leaf;
            }
            else
            {
                _leaves.RemoveAt(i);
            }
        }
    }

    /// <summary>The name of the host's processor, which some kernels leave out of their list.</summary>
    private void DescribeBrand()
    {
        for (uint function = 0x8000_0002; function <= 0x8000_0004 && X86Base.IsSupported; function++)
        {
            Change(function, 0, (ref KvmCpuidEntry leaf) =>
            {
                if ((leaf.Eax | leaf.Ebx | leaf.Ecx | leaf.Edx) == 0)
                {
                    var (eax, ebx, ecx, edx) = X86Base.CpuId((int)leaf.Function, 0);
                    (leaf.Eax, leaf.Ebx, leaf.Ecx, leaf.Edx) = ((uint)eax, (uint)ebx, (uint)ecx, (uint)edx);
                }
            });
        }
    }

    private void DescribeClocks(uint tscKilohertz)
    {
        if (tscKilohertz == 0)
        {
            return;
        }

        // The timing leaf that VMware introduced: TSC and APIC timer in kHz, EAX of 4000_0000h telling that it is there.
        _leaves.RemoveAll(leaf => leaf.Function == TimingLeaf);
        if (_leaves.Any(leaf => leaf.Function == HypervisorBase))
        {
            Change(HypervisorBase, 0, (ref KvmCpuidEntry leaf) => leaf.Eax = Math.Max(leaf.Eax, TimingLeaf));
            _leaves.Add(new KvmCpuidEntry { Function = TimingLeaf, Eax = tscKilohertz, Ebx = ApicTimerKilohertz });
        }

        // Leaf 15h: TSC = crystal * EBX / EAX. Guests take the crystal for the APIC timer's clock too, which on KVM runs at 1 GHz.
        if (_isIntel && _leaves.Any(leaf => leaf.Function == 0 && leaf.Eax >= 0x15))
        {
            _leaves.RemoveAll(leaf => leaf.Function == 0x15);
            _leaves.Add(new KvmCpuidEntry { Function = 0x15, Eax = ApicTimerKilohertz, Ebx = tscKilohertz, Ecx = ApicTimerKilohertz * 1000 });
        }
    }

    private KvmCpuidEntry Place(KvmCpuidEntry leaf, int index)
    {
        uint cores = (uint)_coresPerSocket;
        switch (leaf.Function)
        {
            case 1:
                leaf.Ebx = (leaf.Ebx & 0x0000_FFFF) | (cores << 16) | ((uint)index << 24);

                // HTT: EBX 16–23 counts the logical processors of the package.
                leaf.Edx = (leaf.Edx & ~Bit(28)) | (cores > 1 ? Bit(28) : 0);
                break;

            case 4 when (leaf.Eax & 31) != 0:
                // Cores of the package 26–31; threads that share the cache 14–25: a third-level cache is the socket's.
                leaf.Eax = (leaf.Eax & 0x3FFF) | ((cores - 1) << 26) | (((leaf.Eax >> 5) & 7) == 3 ? (cores - 1) << 14 : 0);
                break;

            case 0x8000_0001 when !_isIntel:
                // CmpLegacy: the package has several cores and no threads.
                leaf.Ecx = (leaf.Ecx & ~Bit(1)) | (cores > 1 ? Bit(1) : 0);
                break;

            case 0x8000_0008 when !_isIntel:
                leaf.Ecx = (leaf.Ecx & ~0xF0FFu) | ((uint)_coreBits << 12) | (cores - 1);
                break;

            case 0x8000_001D when (leaf.Eax & 31) != 0:
                leaf.Eax = (leaf.Eax & 0x3FFF) | (((leaf.Eax >> 5) & 7) == 3 ? (cores - 1) << 14 : 0);
                break;

            case 0x8000_001E:
                leaf.Eax = (uint)index;
                leaf.Ebx = (uint)(index & (_coresPerSocket - 1));
                leaf.Ecx = (uint)(index >> _coreBits);
                break;
        }

        return leaf;
    }

    /// <summary>Extended topology: threads (one a core), cores of the socket, end.</summary>
    private void AddTopology(List<KvmCpuidEntry> leaves, uint function, int index)
    {
        const uint thread = 1u << 8, core = 2u << 8;
        leaves.Add(new() { Function = function, Index = 0, Flags = KvmCpuidEntry.SignificantIndex, Eax = 0, Ebx = 1, Ecx = thread, Edx = (uint)index });
        leaves.Add(new() { Function = function, Index = 1, Flags = KvmCpuidEntry.SignificantIndex, Eax = (uint)_coreBits, Ebx = (uint)Math.Min(_coresPerSocket, _processors), Ecx = 1 | core, Edx = (uint)index });
        leaves.Add(new() { Function = function, Index = 2, Flags = KvmCpuidEntry.SignificantIndex, Ecx = 2, Edx = (uint)index });
    }

    private delegate void Edit(ref KvmCpuidEntry leaf);

    private void Change(uint function, uint index, Edit edit)
    {
        foreach (ref var leaf in System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_leaves))
        {
            if (leaf.Function == function && ((leaf.Flags & KvmCpuidEntry.SignificantIndex) == 0 || leaf.Index == index))
            {
                edit(ref leaf);
            }
        }
    }

    private static uint Bit(int number) => 1u << number;
}
