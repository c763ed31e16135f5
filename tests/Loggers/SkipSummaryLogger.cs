using System.Collections.Concurrent;
using Microsoft.VisualStudio.TestPlatform.ObjectModel;
using Microsoft.VisualStudio.TestPlatform.ObjectModel.Client;

namespace Hypervisor.Tests.Loggers;

/// <summary>
/// Says at the end of <c>dotnet test</c> what was skipped and why, a line a reason: the console's own list names tests without their reasons.
/// </summary>
[FriendlyName("skips")]
[ExtensionUri("logger://hypervisor/skips/v1")]
public sealed class SkipSummaryLogger : ITestLoggerWithParameters
{
    private readonly ConcurrentDictionary<(string Class, string Reason), int> _skipped = new();

    /// <inheritdoc/>
    public void Initialize(TestLoggerEvents events, Dictionary<string, string?> parameters) => Initialize(events, "");

    /// <inheritdoc/>
    public void Initialize(TestLoggerEvents events, string testRunDirectory)
    {
        ArgumentNullException.ThrowIfNull(events);
        events.TestResult += (_, result) => Count(result.Result);
        events.TestRunComplete += (_, _) => Say();
    }

    private void Count(TestResult result)
    {
        if (result.Outcome == TestOutcome.Skipped)
        {
            string name = result.TestCase.FullyQualifiedName;
            string reason = result.ErrorMessage ?? result.Messages.FirstOrDefault()?.Text?.Trim() ?? "no reason was given";
            _skipped.AddOrUpdate((name[..Math.Max(0, name.LastIndexOf('.'))], reason), 1, static (_, count) => count + 1);
        }
    }

    private void Say()
    {
        foreach (((string type, string reason), int count) in _skipped.OrderBy(entry => entry.Key))
        {
            Console.WriteLine($"Skipped {count} of {type}: {reason}");
        }
    }
}
