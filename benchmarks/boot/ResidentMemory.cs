using System.Globalization;

namespace Hypervisor.Benchmarks.Boot;

/// <summary>Resident memory of a process without the one mapping that holds the guest's memory.</summary>
internal static class ResidentMemory
{
    // Ours maps the guest's first megabyte, with its hole for devices, apart from the rest.
    private const long LowMemoryKB = 1024;

    /// <summary>MB resident in all mappings of a process except the one of the guest's memory, which its size tells.</summary>
    public static double OutsideGuestMB(int processId, int guestMB)
    {
        long guestKB = guestMB * 1024L, sum = 0, size = 0;
        foreach (string line in File.ReadLines($"/proc/{processId}/smaps"))
        {
            if (line.StartsWith("Size:", StringComparison.Ordinal))
            {
                size = Kilobytes(line);
            }
            else if (line.StartsWith("Rss:", StringComparison.Ordinal) && (size > guestKB || size < guestKB - LowMemoryKB))
            {
                sum += Kilobytes(line);
            }
        }

        return sum / 1024.0;
    }

    private static long Kilobytes(string line) =>
        long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
}
