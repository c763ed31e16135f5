using Hypervisor.Engine.Native.Memory;
using Hypervisor.Engine.Processor.Translation;

namespace Hypervisor.Engine.Processor;

/// <summary>Whether this host can run translated code; where it cannot, processors interpret.</summary>
public static class TranslationSupport
{
    private const int ProbeBytes = 4096;

    private static readonly Lazy<string?> Obstacle = new(Find);

    /// <summary>Translations run here.</summary>
    public static bool IsAvailable => Obstacle.Value is null;

    /// <summary>Why not, as a part of a sentence; null where they do. Found out once, by making executable memory.</summary>
    public static string? Reason => Obstacle.Value;

    private static string? Find()
    {
        if (!OperatingSystem.IsLinux())
        {
            return "translated code runs on Linux only so far";
        }

        if (!HostFeatures.CanTranslate)
        {
            return "translated code needs an x86-64 processor with BMI2";
        }

        try
        {
            ExecutableMemory.Allocate(ProbeBytes).Dispose();
            return null;
        }
        catch (IOException exception)
        {
            return $"the host does not let this process make code ({exception.Message.TrimEnd('.')})";
        }
    }
}
