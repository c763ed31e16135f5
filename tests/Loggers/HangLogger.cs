using System.Diagnostics;
using System.Globalization;
using Microsoft.VisualStudio.TestPlatform.ObjectModel;
using Microsoft.VisualStudio.TestPlatform.ObjectModel.Client;

namespace Hypervisor.Tests.Loggers;

/// <summary>
/// Watches from outside the process of the tests, which may be stopped as a whole: when no test has ended for long it prints where each
/// thread of that process is, and ends it. The run fails then, and says why.
/// </summary>
[FriendlyName("hangs")]
[ExtensionUri("logger://hypervisor/hangs/v1")]
public sealed class HangLogger : ITestLoggerWithParameters
{
    /// <summary>Minutes without a result that are too many: several times what the longest test takes on a busy machine.</summary>
    private const double DefaultMinutes = 8;

    private const string MinutesVariable = "HYPERVISOR_TEST_HANG_MINUTES";

    private readonly Lock _lock = new();
    private readonly TimeSpan _patience = TimeSpan.FromMinutes(
        double.TryParse(Environment.GetEnvironmentVariable(MinutesVariable), CultureInfo.InvariantCulture, out double minutes) ? minutes : DefaultMinutes);

    private Timer? _timer;

    /// <inheritdoc/>
    public void Initialize(TestLoggerEvents events, Dictionary<string, string?> parameters) => Initialize(events, "");

    /// <inheritdoc/>
    public void Initialize(TestLoggerEvents events, string testRunDirectory)
    {
        ArgumentNullException.ThrowIfNull(events);
        events.TestRunStart += (_, _) => Expect();
        events.TestResult += (_, _) => Expect();
        events.TestRunComplete += (_, _) => End();
    }

    private void Expect()
    {
        lock (_lock)
        {
            _timer ??= new Timer(_ => Report());
            _timer.Change(_patience, Timeout.InfiniteTimeSpan);
        }
    }

    private void End()
    {
        lock (_lock)
        {
            _timer?.Dispose();
            _timer = null;
        }
    }

    private void Report()
    {
        lock (_lock)
        {
            if (_timer is null)
            {
                return;
            }
        }

        foreach (int host in TestHosts.OfThisProcess())
        {
            Console.WriteLine($"No test has ended for {_patience.TotalMinutes} minutes. The tests' process {host} is ended; its threads were here:");
            try
            {
                using var process = Process.GetProcessById(host);
                ThreadReport.Write(host, Console.Out);
                process.Kill(entireProcessTree: true);
            }
            catch (Exception error) when (error is ArgumentException or InvalidOperationException or IOException)
            {
                Console.WriteLine($"It has ended by itself meanwhile: {error.Message}");
            }
        }
    }
}
