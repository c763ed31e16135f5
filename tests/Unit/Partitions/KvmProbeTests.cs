using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Kvm;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Partitions;

public class KvmProbeTests
{
    [Theory]
    [InlineData(2, "modprobe kvm_intel")]
    [InlineData(13, "usermod -aG kvm")]
    [InlineData(1, "usermod -aG kvm")]
    [InlineData(19, "VT-x or AMD-V")]
    [InlineData(24, "could not be opened")]
    public void A_device_that_does_not_open_is_explained_with_a_remedy(int error, string remedy)
    {
        string reason = KvmDevice.Explain(error);
        Assert.StartsWith("/dev/kvm", reason, StringComparison.Ordinal);
        Assert.Contains(remedy, reason, StringComparison.Ordinal);
    }

    [KvmFact]
    public void The_probe_runs_kernel_code_and_says_what_it_found()
    {
        var probe = new KvmPartitionFactory().Probe();
        Assert.Equal(BackendKind.Kvm, probe.Backend);
        Assert.True(probe.Available, probe.Reason);
        Assert.False(string.IsNullOrWhiteSpace(probe.Reason));
    }
}
