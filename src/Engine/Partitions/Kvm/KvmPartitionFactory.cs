namespace Hypervisor.Engine.Partitions.Kvm;

/// <summary>Makes partitions on Linux KVM.</summary>
public sealed class KvmPartitionFactory : IPartitionFactory
{
    /// <inheritdoc/>
    public BackendKind Backend => BackendKind.Kvm;

    /// <inheritdoc/>
    public BackendProbe Probe() => KvmProbe.Run(this);

    /// <inheritdoc/>
    public IPartition Create(PartitionOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        using var device = KvmDevice.TryOpen(out string reason) ?? throw new PartitionException(reason);
        int most = Math.Min(device.MaxProcessors, MaxProcessors);
        if (options.ProcessorCount < 1 || options.ProcessorCount > most)
        {
            throw new PartitionException($"A partition takes 1 to {most} virtual processors on this host, not {options.ProcessorCount}.");
        }

        try
        {
            return new KvmPartition(device, options);
        }
        catch (IOException exception)
        {
            throw new PartitionException(exception.Message, exception);
        }
    }

    /// <summary>The product's own bound (see <see cref="PartitionOptions.ProcessorCount"/>).</summary>
    private const int MaxProcessors = 64;
}
