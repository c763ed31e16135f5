using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>All measurements, as a table and as JSON.</summary>
internal sealed class Results(Options options)
{
    private static readonly JsonSerializerOptions Json = new()
    {
        WriteIndented = true,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    private readonly Dictionary<(string Workload, PlatformKind Platform), List<Measurement>> _measurements = [];
    private readonly List<string> _problems = [];

    /// <summary>Everything ran, gave the same results everywhere and is as fast as it must be.</summary>
    public bool Good { get; private set; } = true;

    public void Add(Workload workload, PlatformKind platform, Measurement measurement)
    {
        if (!_measurements.TryGetValue((workload.Name, platform), out var list))
        {
            _measurements.Add((workload.Name, platform), list = []);
        }

        list.Add(measurement);
        Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  {workload.Name,-8} {platform,-7} {measurement.Seconds,9:F3} s, CPU {measurement.CpuSeconds:F2} s, own clock {measurement.GuestSeconds,9:F3} s  {measurement.Result}"));
    }

    public void AddProblem(string problem)
    {
        Good = false;

        // The whole of it, with the guest's last lines, is for who watches.
        _problems.Add(problem.Split('\n')[0]);
        Console.Error.WriteLine(problem);
    }

    /// <summary>Prints the table and writes the JSON.</summary>
    public void Report()
    {
        List<Row> rows = [.. options.Workloads.Select(MakeRow)];
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{DateTime.UtcNow:yyyy-MM-dd}, {Environment.ProcessorCount} host CPUs, .NET {Environment.Version}; medians of {options.Repeat}, {(options.CpuTime ? "CPU time" : "elapsed time")}, scale {options.Scale}"));
        Console.WriteLine();
        Console.WriteLine("| workload | native, s | QEMU, s | ours, s | ours/QEMU | ours/native | must | aim | |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|");
        foreach (Row row in rows)
        {
            Console.WriteLine($"| {row.Title} | {Text(row.Native)} | {Text(row.Qemu)} | {Text(row.Ours)} | {Text(row.OursToQemu)} | {Text(row.OursToNative)} | {Text(row.Must)} | {Text(row.Aim)} | {row.Verdict} |");
        }

        foreach (string problem in _problems)
        {
            Console.WriteLine();
            Console.WriteLine(problem);
        }

        if (options.JsonPath is { } path)
        {
            var document = new
            {
                date = DateTime.UtcNow,
                hostProcessors = Environment.ProcessorCount,
                options.Repeat,
                options.Scale,
                options.CpuTime,
                options.Settings,
                rows,
                problems = _problems,
            };
            File.WriteAllText(path, JsonSerializer.Serialize(document, Json) + "\n");
        }
    }

    private static string Text(double? value) => value is { } number ? number.ToString(number < 0.1 ? "F3" : "F2", CultureInfo.InvariantCulture) : "–";

    private double? Median(IReadOnlyList<Measurement> measurements)
    {
        double[] sorted = [.. measurements.Select(measurement => options.CpuTime ? measurement.CpuSeconds : measurement.Seconds).Order()];
        int middle = sorted.Length / 2;
        return sorted.Length == 0 ? null : sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    private Row MakeRow(Workload workload)
    {
        IReadOnlyList<Measurement> native = Of(PlatformKind.Native), qemu = Of(PlatformKind.Qemu), ours = Of(PlatformKind.Ours);
        string[] results = [.. native.Concat(qemu).Concat(ours).Select(measurement => measurement.Result).Distinct()];
        if (results.Length > 1)
        {
            AddProblem($"{workload.Name}: the platforms disagree about the result: {string.Join(", ", results)}");
        }

        double? n = Median(native), q = Median(qemu), o = Median(ours), ratio = o / q;
        string verdict = results.Length > 1 ? "wrong" : ours.Count == 0 ? "did not run" : ratio is null || workload.Must is null ? "" : ratio <= workload.Aim ? "aim met" : ratio <= workload.Must ? "pass" : "fail";
        Good &= verdict is "" or "aim met" or "pass";
        return new Row(workload.Name, workload.Title, n, q, o, ratio, o / n, workload.Must, workload.Aim, verdict, native, qemu, ours);

        IReadOnlyList<Measurement> Of(PlatformKind platform) => _measurements.GetValueOrDefault((workload.Name, platform)) ?? [];
    }

    private sealed record Row(string Name, string Title, double? Native, double? Qemu, double? Ours, double? OursToQemu, double? OursToNative, double? Must, double? Aim, string Verdict,
        IReadOnlyList<Measurement> NativeRuns, IReadOnlyList<Measurement> QemuRuns, IReadOnlyList<Measurement> OursRuns);
}
