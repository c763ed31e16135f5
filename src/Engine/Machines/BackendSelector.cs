using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Kvm;
using Hypervisor.Engine.Partitions.Software;
using Hypervisor.Engine.Partitions.Whp;

namespace Hypervisor.Engine.Machines;

/// <summary>
/// Finds out what the host can run machines on, once, by running code, and chooses. Thread-safe.
/// </summary>
public sealed class BackendSelector
{
    private readonly IReadOnlyList<IPartitionFactory> _factories;
    private readonly Lazy<IReadOnlyList<BackendProbe>> _probes;

    /// <summary>Chooses among factories; the first accelerated one in their order is the default.</summary>
    public BackendSelector(IReadOnlyList<IPartitionFactory> factories)
    {
        ArgumentNullException.ThrowIfNull(factories);
        _factories = factories;
        _probes = new(() => [.. _factories.Select(Probe)]);
    }

    /// <summary>The backends of this product, probed once a process.</summary>
    public static BackendSelector Default { get; } = new([new KvmPartitionFactory(), new WhpPartitionFactory(), new SoftwarePartitionFactory()]);

    /// <summary>What was found, in order of preference.</summary>
    public IReadOnlyList<BackendProbe> Probes => _probes.Value;

    /// <summary>Chooses a backend.</summary>
    /// <param name="wanted"><see cref="BackendKind.Auto"/> takes the first accelerated one, and the software processor where there is none.</param>
    /// <exception cref="MachineException">The wanted one cannot be had here; the message says why and what to do.</exception>
    public IPartitionFactory Select(BackendKind wanted)
    {
        if (wanted == BackendKind.Auto)
        {
            var chosen = Probes.FirstOrDefault(probe => probe.Available && probe.Accelerated)
                ?? Probes.FirstOrDefault(probe => probe.Available && probe.Backend == BackendKind.Software)
                ?? Probes.FirstOrDefault(probe => probe.Available)
                ?? throw new MachineException("No backend of this host can run machines: " + string.Join(" ", Probes.Select(probe => probe.Reason)));
            return Factory(chosen.Backend)!;
        }

        if (Factory(wanted) is not { } factory)
        {
            throw new MachineException($"The backend {wanted} is not part of this build; take -Backend Auto.");
        }

        var found = Probes.First(probe => probe.Backend == wanted);
        return found.Available
            ? factory
            : throw new MachineException($"The backend {wanted} cannot be used here: {found.Reason}");
    }

    private IPartitionFactory? Factory(BackendKind backend) => _factories.FirstOrDefault(factory => factory.Backend == backend);

    // A probe runs foreign code (drivers, hypervisor interfaces): what fails there makes a backend absent, not the host unusable.
    private static BackendProbe Probe(IPartitionFactory factory)
    {
        try
        {
            return factory.Probe();
        }
        catch (Exception error)
        {
            return new BackendProbe(factory.Backend, Available: false, Accelerated: false, $"The probe of {factory.Backend} failed: {error.Message}");
        }
    }
}
