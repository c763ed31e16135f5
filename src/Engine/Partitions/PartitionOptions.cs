namespace Hypervisor.Engine.Partitions;

/// <summary>How a partition is to be made.</summary>
public sealed record PartitionOptions
{
    /// <summary>Bounds and default of <see cref="CodeCacheMB"/>.</summary>
    public const int MinimumCodeCacheMB = 16, MaximumCodeCacheMB = 2048, DefaultCodeCacheMB = 64;

    /// <summary>Virtual processors, 1 to 64.</summary>
    public required int ProcessorCount { get; init; }

    /// <summary>The machine around the processors.</summary>
    public required IPartitionBus Bus { get; init; }

    /// <summary>The machine's clock, for local APIC timers of the software backend.</summary>
    public required Devices.IMachineClock Clock { get; init; }

    /// <summary>Feature level shown by CPUID: null is the backend's own default. "x86-64-v1", "v2", "v3".</summary>
    public string? ProcessorModel { get; init; }

    /// <summary>
    /// MB for decoded and translated code of all processors together, <see cref="MinimumCodeCacheMB"/> to
    /// <see cref="MaximumCodeCacheMB"/>; for backends that have any.
    /// </summary>
    public int CodeCacheMB { get; init; } = DefaultCodeCacheMB;

    /// <summary>Cores a virtual socket, as CPUID shows it. Counts other than powers of two are shown as sockets of one core.</summary>
    public int CoresPerSocket { get; init; } = 1;

    /// <summary>Runs of a block before the software backend translates it.</summary>
    internal int TranslationThreshold { get; init; } = Processor.ProcessorOptions.DefaultTranslationThreshold;
}

/// <summary>Makes partitions of one backend.</summary>
public interface IPartitionFactory
{
    /// <summary>The backend.</summary>
    BackendKind Backend { get; }

    /// <summary>Finds out, by running code, what the host offers. Cached by the caller.</summary>
    BackendProbe Probe();

    /// <summary>Makes a partition.</summary>
    /// <exception cref="PartitionException">The backend is absent, not permitted, or out of resources; the message says what to do.</exception>
    IPartition Create(PartitionOptions options);
}

/// <summary>What a probe found.</summary>
/// <param name="Backend">The backend.</param>
/// <param name="Available">It can run partitions.</param>
/// <param name="Accelerated">It runs them on hardware fast enough to be a default (not a backend that emulates the kernel).</param>
/// <param name="Reason">One sentence for a person: what was found, and what to do if it is not what was hoped for.</param>
/// <param name="Version">Version of the interface or device, or empty.</param>
public sealed record BackendProbe(BackendKind Backend, bool Available, bool Accelerated, string Reason, string Version = "");

/// <summary>A backend could not do what was asked of it by the host side.</summary>
public sealed class PartitionException : Exception
{
    /// <inheritdoc/>
    public PartitionException() { }
    /// <inheritdoc/>
    public PartitionException(string message) : base(message) { }
    /// <inheritdoc/>
    public PartitionException(string message, Exception inner) : base(message, inner) { }
}
