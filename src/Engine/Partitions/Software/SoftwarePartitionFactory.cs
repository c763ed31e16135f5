namespace Hypervisor.Engine.Partitions.Software;

/// <summary>Makes partitions on the software processor.</summary>
public sealed class SoftwarePartitionFactory : IPartitionFactory
{
    private const int MaxProcessors = 64;

    /// <inheritdoc/>
    public BackendKind Backend => BackendKind.Software;

    /// <inheritdoc/>
    public BackendProbe Probe() => new(
        BackendKind.Software,
        Available: true,
        Accelerated: false,
        "The software processor runs on every host; it interprets the guest's instructions.");

    /// <inheritdoc/>
    public IPartition Create(PartitionOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.ProcessorCount is < 1 or > MaxProcessors)
        {
            throw new PartitionException($"A partition takes 1 to {MaxProcessors} virtual processors, not {options.ProcessorCount}.");
        }

        try
        {
            return new SoftwarePartition(options);
        }
        catch (InsufficientMemoryException exception)
        {
            throw new PartitionException(exception.Message, exception);
        }
    }
}
