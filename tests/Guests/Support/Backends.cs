using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>The backends that this host can run guests on: every test body runs over each.</summary>
public static class Backends
{
    public static TheoryData<BackendKind> Present
    {
        get
        {
            var present = new TheoryData<BackendKind>();
            foreach (var probe in BackendSelector.Default.Probes.Where(probe => probe.Available))
            {
                present.Add(probe.Backend);
            }

            return present;
        }
    }

    public static bool Has(BackendKind backend) => BackendSelector.Default.Probes.Any(probe => probe.Available && probe.Backend == backend);
}
