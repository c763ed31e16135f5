using System.Globalization;
using Hypervisor.Engine.Native.Timing;
using Microsoft.Win32;

namespace Hypervisor.Engine.Scheduling;

/// <summary>Finds out what processors this computer has for this process.</summary>
internal static class HostTopologyProbe
{
    // Where the operating system does not say how fast processors are, they count as this; then MHz are parts of a processor.
    private const int AssumedMHz = 2000;

    private const string LinuxNodes = "/sys/devices/system/node", LinuxProcessors = "/proc/cpuinfo", LinuxMaximum = "/sys/devices/system/cpu/cpu0/cpufreq/base_frequency";

    /// <summary>Processors that this process may use, their speed, and the NUMA node of each.</summary>
    public static HostTopology OfThisComputer()
    {
        int count = Environment.ProcessorCount;

        // Where a quota leaves the process fewer than it may run on, nobody can say which they are.
        int[] numbers = ThreadAffinity.Of(0);
        return numbers.Length == count
            ? new HostTopology(ProcessorMHz(), LinuxNodeOfEach(numbers, LinuxNodes)) { HostNumbers = numbers }
            : new HostTopology(ProcessorMHz(), new int[count]);
    }

    /// <summary>Node of each processor, by a folder like /sys/devices/system/node; all zero where that cannot be known.</summary>
    internal static int[] LinuxNodeOfEach(int[] processors, string folder)
    {
        int[] nodes = new int[processors.Length];
        try
        {
            string[] folders = Directory.Exists(folder) ? [.. Directory.EnumerateDirectories(folder, "node*").OrderBy(static path => path.Length).ThenBy(static path => path, StringComparer.Ordinal)] : [];

            // Nodes without a processor for this process, such as those of memory only, do not count.
            List<int>[] lists = [.. folders.Select(static path => Parse(File.ReadAllText(Path.Combine(path, "cpulist")))).Where(list => list.Exists(processors.Contains))];
            if (Array.TrueForAll(processors, processor => lists.Count(list => list.Contains(processor)) == 1))
            {
                nodes = [.. processors.Select(processor => Array.FindIndex(lists, list => list.Contains(processor)))];
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or FormatException)
        {
            // A container without that folder: one node.
        }

        return nodes;
    }

    // A list such as "0-3,8-11".
    private static List<int> Parse(string list)
    {
        var processors = new List<int>();
        foreach (string range in list.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            string[] ends = range.Split('-');
            int first = int.Parse(ends[0], CultureInfo.InvariantCulture), last = int.Parse(ends[^1], CultureInfo.InvariantCulture);
            processors.AddRange(Enumerable.Range(first, last - first + 1));
        }

        return processors;
    }

    private static int ProcessorMHz()
    {
        try
        {
            if (OperatingSystem.IsWindows())
            {
                return Registry.GetValue(@"HKEY_LOCAL_MACHINE\HARDWARE\DESCRIPTION\System\CentralProcessor\0", "~MHz", null) is int mhz and > 0 ? mhz : AssumedMHz;
            }

            if (OperatingSystem.IsLinux())
            {
                return LinuxMHz();
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or System.Security.SecurityException)
        {
            // Not to be known.
        }

        return AssumedMHz;
    }

    private static int LinuxMHz()
    {
        if (File.Exists(LinuxMaximum) && int.TryParse(File.ReadAllText(LinuxMaximum).Trim(), CultureInfo.InvariantCulture, out int kilohertz) && kilohertz >= 1000)
        {
            return kilohertz / 1000;
        }

        string? line = File.ReadLines(LinuxProcessors).FirstOrDefault(static line => line.StartsWith("cpu MHz", StringComparison.Ordinal));
        return line is not null && double.TryParse(line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..], CultureInfo.InvariantCulture, out double mhz) && mhz >= 1
            ? (int)Math.Round(mhz)
            : AssumedMHz;
    }
}
