using System.Globalization;
using System.Text.RegularExpressions;

namespace Hypervisor.Tests.Loggers;

/// <summary>Processes that run tests for this one.</summary>
internal static partial class TestHosts
{
    /// <summary>Their identities; none where processes do not say who began them (other systems than Linux).</summary>
    public static IEnumerable<int> OfThisProcess() => OperatingSystem.IsLinux()
        ? Directory.EnumerateDirectories("/proc")
            .Select(path => int.TryParse(Path.GetFileName(path), CultureInfo.InvariantCulture, out int id) ? id : 0)
            .Where(id => id > 0 && IsChild(id))
            .ToArray()
        : [];

    private static bool IsChild(int id)
    {
        try
        {
            return Parent().Match(File.ReadAllText($"/proc/{id}/status")) is { Success: true } parent
                && int.Parse(parent.Groups[1].ValueSpan, CultureInfo.InvariantCulture) == Environment.ProcessId
                && File.ReadAllText($"/proc/{id}/cmdline").Contains("testhost", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            // It has ended meanwhile.
            return false;
        }
    }

    // proc_pid_status(5).
    [GeneratedRegex(@"^PPid:\s+(\d+)", RegexOptions.Multiline)]
    private static partial Regex Parent();
}
