using System.Globalization;

namespace Hypervisor.Engine.Monitoring;

/// <summary>
/// Reads what Linux tells of the processors' power: idle states (cpuidle), frequencies (cpufreq), and energy of the packages (RAPL through
/// powercap). Nothing is estimated: what the host does not tell is named as missing.
/// </summary>
/// <param name="root">Where sysfs is mounted; a test gives its own.</param>
internal sealed class HostPowerProbe(string root = "/sys")
{
    // time_in_state counts in units of 10 ms whatever the kernel's HZ (Documentation/cpu-freq/cpufreq-stats).
    private const long MicrosecondsPerStateUnit = 10_000;
    private const double KilohertzPerMegahertz = 1000;

    /// <summary>Idle and frequency states of each processor.</summary>
    public IReadOnlyList<HostProcessorPower> ReadProcessors()
    {
        string folder = Path.Combine(root, "devices", "system", "cpu");
        if (!Directory.Exists(folder))
        {
            return [];
        }

        return
        [
            .. Numbered(folder, "cpu").Select(static cpu => new HostProcessorPower(
                    cpu.Number, ReadMHz(Path.Combine(cpu.Path, "cpufreq", "scaling_cur_freq")), ReadIdleStates(Path.Combine(cpu.Path, "cpuidle")), ReadFrequencies(Path.Combine(cpu.Path, "cpufreq", "stats", "time_in_state"))))
                .Where(static cpu => cpu.MHz is not null || cpu.IdleStates.Count > 0 || cpu.Frequencies.Count > 0),
        ];
    }

    /// <summary>Energy that each package has used; a package that refuses to tell has none.</summary>
    public IReadOnlyList<HostPackageEnergy> ReadPackages()
    {
        string folder = Path.Combine(root, "class", "powercap");
        if (!Directory.Exists(folder))
        {
            return [];
        }

        // intel-rapl:0 is a package; intel-rapl:0:0 a part of it. AMD's processors appear under the same name.
        return
        [
            .. Numbered(folder, "intel-rapl:").Where(static zone => ReadText(Path.Combine(zone.Path, "name"))?.StartsWith("package", StringComparison.Ordinal) == true)
                .Select(static zone => new HostPackageEnergy(
                    ReadText(Path.Combine(zone.Path, "name"))!, ReadNumber(Path.Combine(zone.Path, "energy_uj")), ReadNumber(Path.Combine(zone.Path, "max_energy_range_uj")) ?? 0)),
        ];
    }

    /// <summary>What there is no number for, as a sentence without its full stop; empty when all is told.</summary>
    public static string Missing(IReadOnlyList<HostProcessorPower> processors, IReadOnlyList<HostPackageEnergy> packages)
    {
        var missing = new List<string>();
        if (packages.Count == 0)
        {
            missing.Add("watts (no RAPL in powercap)");
        }
        else if (packages.Any(static package => package.Microjoules is null))
        {
            missing.Add("watts (energy_uj is readable by root only)");
        }

        if (processors.All(static processor => processor.IdleStates.Count == 0))
        {
            missing.Add("C-states (no cpuidle)");
        }

        if (processors.All(static processor => processor.Frequencies.Count == 0))
        {
            missing.Add(processors.Any(static processor => processor.MHz is not null) ? "time in P-states (no cpufreq statistics)" : "P-states and MHz (no cpufreq)");
        }

        return missing.Count == 0 ? "" : "This host does not tell: " + string.Join("; ", missing);
    }

    private static IEnumerable<(int Number, string Path)> Numbered(string folder, string prefix) =>
        Directory.EnumerateFileSystemEntries(folder, prefix + "*")
            .Select(path => (Parsed: int.TryParse(Path.GetFileName(path)[prefix.Length..], NumberStyles.None, CultureInfo.InvariantCulture, out int number), Number: number, Path: path))
            .Where(static entry => entry.Parsed)
            .OrderBy(static entry => entry.Number)
            .Select(static entry => (entry.Number, entry.Path));

    private static double? ReadMHz(string path) => ReadNumber(path) is { } kilohertz ? kilohertz / KilohertzPerMegahertz : null;

    private static IReadOnlyList<HostPowerState> ReadIdleStates(string folder) =>
        !Directory.Exists(folder) ? [] :
        [
            .. Numbered(folder, "state")
                .Select(static state => (Name: ReadText(Path.Combine(state.Path, "name")), Time: ReadNumber(Path.Combine(state.Path, "time"))))
                .Where(static state => state.Name is not null && state.Time is not null)
                .Select(static state => new HostPowerState(state.Name!, state.Time!.Value)),
        ];

    private static IReadOnlyList<HostPowerState> ReadFrequencies(string path)
    {
        var states = new List<HostPowerState>();
        foreach (string line in ReadText(path)?.Split('\n') ?? [])
        {
            if (line.Split(' ') is [{ } frequency, { } time]
                && long.TryParse(frequency, NumberStyles.None, CultureInfo.InvariantCulture, out long kilohertz) && long.TryParse(time, NumberStyles.None, CultureInfo.InvariantCulture, out long units))
            {
                states.Add(new HostPowerState((kilohertz / KilohertzPerMegahertz).ToString("0", CultureInfo.InvariantCulture), units * MicrosecondsPerStateUnit));
            }
        }

        return states;
    }

    private static long? ReadNumber(string path) =>
        long.TryParse(ReadText(path), NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : null;

    // What cannot be read is not told: a file that is missing, that root alone may read, or whose driver fails.
    private static string? ReadText(string path)
    {
        try
        {
            return File.Exists(path) ? File.ReadAllText(path).Trim() : null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}

/// <summary>A processor of the host.</summary>
/// <param name="Number">The operating system's number.</param>
/// <param name="MHz">Its frequency now; null when not told.</param>
/// <param name="IdleStates">Time in each idle state since boot.</param>
/// <param name="Frequencies">Time at each frequency, named by its MHz, since boot.</param>
internal sealed record HostProcessorPower(int Number, double? MHz, IReadOnlyList<HostPowerState> IdleStates, IReadOnlyList<HostPowerState> Frequencies);

/// <summary>Energy that a package has used.</summary>
/// <param name="Name">Such as <c>package-0</c>.</param>
/// <param name="Microjoules">A counter that begins again at <paramref name="Range"/>; null when it may not be read.</param>
/// <param name="Range">Where the counter begins again, microjoules; 0 when not told.</param>
internal sealed record HostPackageEnergy(string Name, long? Microjoules, long Range);

/// <summary>Time that a processor has been in a state since the host booted.</summary>
/// <param name="Name">Such as <c>C1E</c>, or MHz.</param>
/// <param name="TimeInUsec">µs.</param>
public sealed record HostPowerState(string Name, long TimeInUsec)
{
    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Name} {TimeInUsec} µs");
}
