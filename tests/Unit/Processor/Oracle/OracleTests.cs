using System.Globalization;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// The interpreter against the machine's own processor. HYPERVISOR_ORACLE_CASES sets the number of cases of each test,
/// HYPERVISOR_ORACLE_SEED where they begin, HYPERVISOR_ORACLE_CODES a comma-separated list of names of Iced's Code to try alone.
/// </summary>
[Collection("Oracle")]
public sealed class OracleTests
{
    private const int DefaultCases = 6_000;
    private const int ReportedFailures = 40;

    [OracleFact]
    public void Integer_instructions_do_what_the_hosts_processor_does() => Run(InstructionSets.Integer);

    [OracleFact]
    public void Vector_instructions_do_what_the_hosts_processor_does() => Run(InstructionSets.Vector);

    [OracleFact]
    public void Avx_instructions_do_what_the_hosts_processor_does() => Run(InstructionSets.Avx);

    [OracleFact]
    public void Translated_integer_instructions_do_what_the_hosts_processor_does() => Run(InstructionSets.Integer, translated: true);

    [OracleFact]
    public void Translated_vector_instructions_do_what_the_hosts_processor_does() => Run(InstructionSets.Vector, translated: true);

    [OracleFact]
    public void Translated_avx_instructions_do_what_the_hosts_processor_does() => Run(InstructionSets.Avx, translated: true);

    [OracleFact]
    public void X87_instructions_do_what_the_hosts_processor_does() => Run(InstructionSets.X87);

    [OracleFact]
    public void Transcendental_functions_agree_with_the_hosts_processor_to_the_last_place()
    {
        using var native = new NativeProcessor();
        using var interpreted = new InterpretedProcessor();
        var codes = InstructionSets.Transcendentals;
        var failures = new List<string>();
        int cases = Setting("HYPERVISOR_ORACLE_CASES", DefaultCases);
        int seed = Setting("HYPERVISOR_ORACLE_SEED", 1);
        for (int at = 0; at < cases; at++)
        {
            var code = codes[at % codes.Length];
            var test = new CaseGenerator([code], seed + at).MakeSingle(code);
            if (TranscendentalComparison.Run(native, interpreted, test, code) is { } report)
            {
                failures.Add($"seed {seed + at}: {report}");
            }
        }

        Assert.True(failures.Count == 0, $"{failures.Count} of {cases} differ.\n{string.Join('\n', failures.Take(ReportedFailures))}");
    }

    [OracleFact]
    public void Calls_returns_jumps_and_popped_flags_do_what_the_hosts_processor_does() => RunTransfers(translated: false);

    [OracleFact]
    public void Translated_calls_returns_jumps_and_popped_flags_do_what_the_hosts_processor_does() => RunTransfers(translated: true);

    [OracleFact]
    public void State_images_are_saved_and_restored_as_the_hosts_processor_does_it()
    {
        using var native = new NativeProcessor();
        using var interpreted = new InterpretedProcessor();
        var failures = new List<string>();
        int cases = Setting("HYPERVISOR_ORACLE_CASES", DefaultCases) / 5;
        int seed = Setting("HYPERVISOR_ORACLE_SEED", 1);
        for (int at = 0; at < cases; at++)
        {
            var code = CaseGenerator.ImageInstructions[at % CaseGenerator.ImageInstructions.Length];
            if (!HostProcessor.Executes(code))
            {
                continue;
            }

            var test = new CaseGenerator(InstructionSets.Vector, seed + at).MakeImage(code);
            if (OracleComparison.Run(native, interpreted, test) is { } report)
            {
                failures.Add($"seed {seed + at}\n{report}");
            }
        }

        Assert.True(failures.Count == 0, $"{failures.Count} of {cases} differ.\n{string.Join('\n', failures.Take(ReportedFailures))}");
    }

    private static void Run(Code[] codes, bool translated = false)
    {
        int cases = Setting("HYPERVISOR_ORACLE_CASES", DefaultCases);
        int seed = Setting("HYPERVISOR_ORACLE_SEED", 1);
        string? wanted = Environment.GetEnvironmentVariable("HYPERVISOR_ORACLE_CODES");
        if (!string.IsNullOrEmpty(wanted))
        {
            string[] names = wanted.Split(',');
            codes = [.. codes.Where(code => names.Any(name => code.ToString().StartsWith(name, StringComparison.OrdinalIgnoreCase)))];
        }

        if (codes.Length == 0)
        {
            return;
        }

        using var native = new NativeProcessor();
        using var interpreted = new InterpretedProcessor(translated);
        var failures = new List<string>();
        var failing = new SortedDictionary<string, int>(StringComparer.Ordinal);
        for (int at = 0; at < cases; at++)
        {
            // Every instruction has its turn as the first of a block.
            var first = codes[at % codes.Length];
            var test = new CaseGenerator(codes, seed + at).Make(first);
            if (test.Code.Length == 0)
            {
                continue;
            }

            if (OracleComparison.Run(native, interpreted, test) is { } report)
            {
                string name = Decoder.Create(64, test.Code, OracleLayout.Code).Decode().Code.ToString();
                failing[name] = failing.GetValueOrDefault(name) + 1;
                if (failures.Count < ReportedFailures && failing[name] <= 2)
                {
                    failures.Add($"seed {seed + at}\n{report}");
                }
            }
        }

        Assert.True(failing.Count == 0, $"{failing.Values.Sum()} of {cases} cases differ: "
            + $"{string.Join(", ", failing.Select(pair => $"{pair.Key} {pair.Value}"))}\n{string.Join('\n', failures)}");
    }

    internal static int Setting(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), CultureInfo.InvariantCulture, out int value) ? value : otherwise;

    private static void RunTransfers(bool translated)
    {
        using var native = new NativeProcessor();
        using var interpreted = new InterpretedProcessor(translated);
        var failures = new List<string>();
        int cases = Setting("HYPERVISOR_ORACLE_CASES", DefaultCases) / 5;
        int seed = Setting("HYPERVISOR_ORACLE_SEED", 1);
        for (int at = 0; at < cases; at++)
        {
            var test = new CaseGenerator(InstructionSets.Integer, seed + at).MakeTransfer();
            if (OracleComparison.Run(native, interpreted, test) is { } report)
            {
                failures.Add($"seed {seed + at}\n{report}");
            }
        }

        Assert.True(failures.Count == 0, $"{failures.Count} of {cases} differ.\n{string.Join('\n', failures.Take(ReportedFailures))}");
    }
}
