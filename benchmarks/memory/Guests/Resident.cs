using System.Globalization;

namespace Hypervisor.Benchmarks.Memory.Guests;

/// <summary>Memory as the operating system counts it.</summary>
internal static class Resident
{
    /// <summary>MB of anonymous memory of a process that is resident.</summary>
    public static long OfProcessMB(int processId)
    {
        foreach (string line in File.ReadLines(string.Create(CultureInfo.InvariantCulture, $"/proc/{processId}/status")))
        {
            if (line.StartsWith("RssAnon:", StringComparison.Ordinal))
            {
                return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2], CultureInfo.InvariantCulture) / 1024;
            }
        }

        throw new InvalidOperationException($"The kernel does not say how much memory process {processId} has.");
    }
}
