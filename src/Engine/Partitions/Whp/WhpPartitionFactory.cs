using Hypervisor.Engine.Native.Whp;

namespace Hypervisor.Engine.Partitions.Whp;

/// <summary>
/// Makes partitions on the Windows Hypervisor Platform. Written against the published headers and documentation; so far nobody has run
/// it on Windows.
/// </summary>
public sealed class WhpPartitionFactory : IPartitionFactory
{
    private const int MaxProcessors = 64;

    /// <inheritdoc/>
    public BackendKind Backend => BackendKind.Whp;

    /// <inheritdoc/>
    public BackendProbe Probe()
    {
        string? obstacle = FindObstacle();
        return obstacle is null
            ? new BackendProbe(BackendKind.Whp, true, true, "The Windows Hypervisor Platform runs guests on the processor itself.", $"Windows {Environment.OSVersion.Version}")
            : new BackendProbe(BackendKind.Whp, false, false, obstacle);
    }

    /// <inheritdoc/>
    public IPartition Create(PartitionOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (FindObstacle() is { } obstacle)
        {
            throw new PartitionException(obstacle);
        }

        return options.ProcessorCount is >= 1 and <= MaxProcessors
            ? new WhpPartition(options)
            : throw new PartitionException($"A partition takes 1 to {MaxProcessors} virtual processors, not {options.ProcessorCount}.");
    }

    private static string? FindObstacle()
    {
        if (!OperatingSystem.IsWindows())
        {
            return "The Windows Hypervisor Platform is a part of Windows; this is another operating system.";
        }

        if (System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture != System.Runtime.InteropServices.Architecture.X64)
        {
            return "The Windows Hypervisor Platform runs guests of the host's own architecture, and this host is no x86-64.";
        }

        if (!WhpLibrary.IsPresent())
        {
            return "The Windows Hypervisor Platform is not installed: Enable-WindowsOptionalFeature -Online -FeatureName HypervisorPlatform, then restart Windows.";
        }

        if (!WhpLibrary.TryGetCapability(WhpCapability.HypervisorPresent, out ulong present) || (uint)present == 0)
        {
            return "The Windows hypervisor does not run: turn virtualization on in the firmware setup, and have bcdedit show 'hypervisorlaunchtype Auto'.";
        }

        _ = WhpLibrary.TryGetCapability(WhpCapability.Features, out ulong features);
        return ((WhpFeatures)features).HasFlag(WhpFeatures.LocalApicEmulation)
            ? null
            : "This Windows has no local APICs for guests; Windows 10 version 1809 or later is needed.";
    }
}
