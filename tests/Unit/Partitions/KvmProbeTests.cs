using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Kvm;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Partitions;

public class KvmProbeTests
{
    [KvmFact]
    public void The_probe_runs_kernel_code_and_says_what_it_found()
    {
        var probe = new KvmPartitionFactory().Probe();
        Assert.Equal(BackendKind.Kvm, probe.Backend);
        Assert.True(probe.Available, probe.Reason);
        Assert.False(string.IsNullOrWhiteSpace(probe.Reason));
    }
}
