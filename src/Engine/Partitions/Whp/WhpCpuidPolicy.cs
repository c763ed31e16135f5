using System.Numerics;

namespace Hypervisor.Engine.Partitions.Whp;

/// <summary>Edits the CPUID leaves for which a partition asked exits: model, topology, hypervisor leaves with the clocks.</summary>
internal sealed class WhpCpuidPolicy
{
    private const uint HypervisorBase = 0x4000_0000, HypervisorInterface = 0x4000_0001, TimingLeaf = 0x4000_0010;

    private readonly ProcessorModel _model;
    private readonly uint _cores, _tscKilohertz, _apicKilohertz;
    private readonly int _coreBits;

    internal WhpCpuidPolicy(ProcessorModel model, int coresPerSocket, int processors, ulong tscHertz, ulong apicHertz)
    {
        _model = model;
        _cores = coresPerSocket >= 1 && coresPerSocket <= processors && BitOperations.IsPow2(coresPerSocket) ? (uint)coresPerSocket : 1;
        _coreBits = BitOperations.Log2(_cores);
        _tscKilohertz = (uint)(tscHertz / 1000);
        _apicKilohertz = (uint)(apicHertz / 1000);
    }

    /// <summary>Turns the hypervisor's answer into this machine's.</summary>
    internal void Apply(int processor, uint function, uint index, ref uint eax, ref uint ebx, ref uint ecx, ref uint edx)
    {
        if (!ProcessorModelMask.Apply(_model, function, index, ref eax, ref ebx, ref ecx, ref edx))
        {
            eax = ebx = ecx = edx = 0;
            return;
        }

        switch (function)
        {
            case 1:
                ebx = (ebx & 0xFFFF) | (_cores << 16) | ((uint)processor << 24);

                // MONITOR and VMX go, the hypervisor bit is set; HTT where the package has several cores.
                ecx = (ecx & ~(1u << 3 | 1u << 5)) | 1u << 31;
                edx = (edx & ~(1u << 28)) | (_cores > 1 ? 1u << 28 : 0);
                break;

            case 4 when (eax & 31) != 0:
                eax = (eax & 0x3FFF) | ((_cores - 1) << 26) | (((eax >> 5) & 7) == 3 ? (_cores - 1) << 14 : 0);
                break;

            case 0xB or 0x1F:
                // Threads (one a core), cores of the socket, end (Intel SDM vol. 2A, CPUID leaf 0Bh).
                (eax, ebx, ecx) = index switch
                {
                    0 => (0u, 1u, 1u << 8),
                    1 => ((uint)_coreBits, _cores, 1u | 2u << 8),
                    _ => (0u, 0u, index & 0xFF),
                };
                edx = (uint)processor;
                break;

            case HypervisorBase:
                // No interface that a guest would take for another product's, only the timing leaf.
                eax = TimingLeaf;
                ebx = ecx = edx = 0;
                break;

            case HypervisorInterface:
                eax = ebx = ecx = edx = 0;
                break;

            case TimingLeaf:
                (eax, ebx, ecx, edx) = (_tscKilohertz, _apicKilohertz, 0, 0);
                break;

            case 0x8000_0001:
                // SVM.
                ecx &= ~(1u << 2);
                break;

            case 0x8000_0008:
                ecx = (ecx & ~0xF0FFu) | ((uint)_coreBits << 12) | (_cores - 1);
                break;

            case 0x8000_001E:
                (eax, ebx, ecx) = ((uint)processor, (uint)processor & (_cores - 1), (uint)processor >> _coreBits);
                break;
        }
    }
}
