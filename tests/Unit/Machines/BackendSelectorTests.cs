using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Machines;

public class BackendSelectorTests
{
    private static FakeFactory Kvm(bool available, bool accelerated) => new(BackendKind.Kvm, available, accelerated);

    private static FakeFactory Software => new(BackendKind.Software, true, false);

    [Fact]
    public void Auto_takes_an_accelerated_backend() =>
        Assert.Equal(BackendKind.Kvm, new BackendSelector([Kvm(true, true), Software]).Select(BackendKind.Auto).Backend);

    [Fact]
    public void Auto_passes_over_a_backend_that_only_emulates() =>
        Assert.Equal(BackendKind.Software, new BackendSelector([Kvm(true, false), Software]).Select(BackendKind.Auto).Backend);

    [Fact]
    public void A_backend_asked_for_by_name_is_taken_even_when_it_is_slow() =>
        Assert.Equal(BackendKind.Kvm, new BackendSelector([Kvm(true, false), Software]).Select(BackendKind.Kvm).Backend);

    [Fact]
    public void An_absent_backend_is_refused_with_the_probes_reason()
    {
        var selector = new BackendSelector([Kvm(false, false), Software]);
        Assert.Contains("reason of Kvm", Assert.Throws<MachineException>(() => selector.Select(BackendKind.Kvm)).Message, StringComparison.Ordinal);
        Assert.Throws<MachineException>(() => selector.Select(BackendKind.Whp));
    }

    [Fact]
    public void Probes_run_once_and_a_failing_one_makes_its_backend_absent()
    {
        var failing = new FakeFactory(BackendKind.Whp, true, true) { Failure = new InvalidOperationException("driver broken") };
        var kvm = Kvm(true, true);
        var selector = new BackendSelector([failing, kvm]);
        selector.Select(BackendKind.Auto);
        Assert.Equal(BackendKind.Kvm, selector.Select(BackendKind.Auto).Backend);
        Assert.Equal(1, kvm.Probed);
        Assert.Contains("driver broken", selector.Probes[0].Reason, StringComparison.Ordinal);
    }

    private sealed class FakeFactory(BackendKind backend, bool available, bool accelerated) : IPartitionFactory
    {
        public BackendKind Backend => backend;

        public int Probed { get; private set; }

        public Exception? Failure { get; init; }

        public BackendProbe Probe()
        {
            Probed++;
            return Failure is null ? new BackendProbe(backend, available, accelerated, $"reason of {backend}") : throw Failure;
        }

        public IPartition Create(PartitionOptions options) => throw new PartitionException("not in this test");
    }
}
