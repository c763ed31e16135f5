using Hypervisor.Benchmarks.Processor;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>A test that runs the host's stress-ng in a stock guest; skipped, with the reason, where either cannot be had.</summary>
internal sealed class StressFactAttribute : FactAttribute
{
    public StressFactAttribute() => Skip = GuestAssets.WhyNoLinux() ?? WhyNoProgram();

    private static string? WhyNoProgram()
    {
        try
        {
            SharedLibraries.FindProgram(StressRun.Program);
            return null;
        }
        catch (BenchmarkException exception)
        {
            return exception.Message;
        }
    }
}
