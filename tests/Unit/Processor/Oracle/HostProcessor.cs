using System.Runtime.Intrinsics.X86;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>What of the host's processor decides which cases may be compared.</summary>
internal static class HostProcessor
{
    private const int AuthenticAmdEbx = 0x6874_7541;

    /// <summary>
    /// The makers' x87 units differ in what an unmasked exception leaves behind. The interpreter was compared with one of AMD's, so
    /// such cases are made only there.
    /// </summary>
    public static bool ComparesUnmaskedX87 { get; } = X86Base.IsSupported && X86Base.CpuId(0, 0).Ebx == AuthenticAmdEbx;
}
