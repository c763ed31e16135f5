using Hypervisor.Engine.Processor;

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
        TranslationSupport.IsAvailable
            ? "The software processor runs on every host; here it translates the guest's code into the host's."
            : $"The software processor runs on every host; here it interprets the guest's code, because {TranslationSupport.Reason}.");

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
