using System.Globalization;
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
        return new HostTopology(ProcessorMHz(), OperatingSystem.IsLinux() ? LinuxNodeOfEach(count, LinuxNodes) : new int[count]);
    }

    /// <summary>Node of each of the first processors, by a folder like /sys/devices/system/node; all zero where that cannot be known.</summary>
    internal static int[] LinuxNodeOfEach(int count, string folder)
    {
        int[] nodes = new int[count];
        try
        {
            string[] folders = Directory.Exists(folder) ? [.. Directory.EnumerateDirectories(folder, "node*").Order(StringComparer.Ordinal)] : [];
            var named = folders.Select(static path => Parse(File.ReadAllText(Path.Combine(path, "cpulist")))).Where(static list => list.Count > 0).ToArray();

            // A process that may use only some of the computer's processors cannot say here which.
            if (named.Sum(static list => list.Count) == count && named.SelectMany(static list => list).Order().SequenceEqual(Enumerable.Range(0, count)))
            {
                for (int node = 0; node < named.Length; node++)
                {
                    named[node].ForEach(cpu => nodes[cpu] = node);
                }
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or FormatException)
        {
            // A container without that folder: one node.
            Array.Clear(nodes);
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
