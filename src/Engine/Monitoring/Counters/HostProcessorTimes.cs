using System.Globalization;

namespace Hypervisor.Engine.Monitoring.Counters;

/// <summary>How long a processor of the host was busy and idle since it started, with whatever, µs.</summary>
internal readonly record struct HostProcessorTime(long Used, long Halted)
{
    public long Elapsed => Used + Halted;
}

/// <summary>Reads what Linux counts of each processor of the host (proc(5), <c>/proc/stat</c>).</summary>
internal static class HostProcessorTimes
{
    // In units of 1/USER_HZ s, which is 100 on every architecture that runs this.
    private const long MicrosecondsPerUnit = 10_000;
    private const int User = 1, Nice = 2, System = 3, Idle = 4, InputWait = 5, Interrupt = 6, SoftInterrupt = 7;

    /// <summary>Times by the operating system's number of the processor; empty where they are not told.</summary>
    /// <param name="path">The file; a test gives its own.</param>
    public static IReadOnlyDictionary<int, HostProcessorTime> Read(string path = "/proc/stat")
    {
        var times = new Dictionary<int, HostProcessorTime>();
        try
        {
            foreach (string line in File.Exists(path) ? File.ReadLines(path) : [])
            {
                string[] fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                if (fields.Length > SoftInterrupt && fields[0].StartsWith("cpu", StringComparison.Ordinal)
                    && int.TryParse(fields[0].AsSpan(3), NumberStyles.None, CultureInfo.InvariantCulture, out int number))
                {
                    // Time that another hypervisor took (steal) is neither.
                    times[number] = new(Sum(fields, User, Nice, System, Interrupt, SoftInterrupt), Sum(fields, Idle, InputWait));
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // A sandbox that hides the file: the times are not known.
            return new Dictionary<int, HostProcessorTime>();
        }

        return times;
    }

    private static long Sum(string[] fields, params int[] which) =>
        which.Sum(index => long.TryParse(fields[index], NumberStyles.None, CultureInfo.InvariantCulture, out long units) ? units * MicrosecondsPerUnit : 0);
}
