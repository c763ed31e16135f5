using Iced.Intel;
using Xunit.Abstractions;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// Every instruction that 32-bit code has does the same in the interpreter and translated, also where pages move. Settings as for
/// <see cref="OracleTests"/>.
/// </summary>
public sealed class Instruction32Tests(ITestOutputHelper output)
{
    private const int DefaultCases = 5_000;

    [OracleFact]
    public void Instructions_of_32_bit_code_do_the_same_interpreted_and_translated()
    {
        int cases = OracleTests.Setting("HYPERVISOR_ORACLE_CASES", DefaultCases), seed = OracleTests.Setting("HYPERVISOR_ORACLE_SEED", 1);
        using var interpreted = new InterpretedProcessor(bits: 32);
        InterpretedProcessor[] translated = [new(translated: true, bits: 32), new(translated: true, frames: 5, seed: 3, bits: 32)];
        var codes = InstructionSets.Of32Bits;
        var made = new HashSet<Code>();
        var failures = new List<string>();
        int faults = 0;
        for (int at = seed; at < seed + cases; at++)
        {
            var test = new CaseGenerator(codes, at, bits: 32).Make(codes[at % codes.Length]);
            if (test.Code.Length == 0)
            {
                continue;
            }

            made.Add(codes[at % codes.Length]);
            var expected = test.Initial;
            test.Data.CopyTo(interpreted.Data);
            interpreted.Run(test.Code, ref expected);
            expected.Rflags &= ~test.EverUndefinedFlags;
            faults += expected.Vector >= 0 ? 1 : 0;
            foreach (var processor in translated)
            {
                var actual = test.Initial;
                test.Data.CopyTo(processor.Data);
                processor.Run(test.Code, ref actual);
                actual.Rflags &= ~test.EverUndefinedFlags;
                if (!MovedInstructionTests.Same(expected, actual) || !interpreted.Data.SequenceEqual(processor.Data))
                {
                    failures.Add($"seed {at}, processor {Array.IndexOf(translated, processor)}, vector {expected.Vector} and {actual.Vector}\n{test.Text()}");
                }
            }
        }

        foreach (var processor in translated)
        {
            processor.Pages?.Stop();
            Assert.Null(processor.Pages?.Failure);
            processor.Dispose();
        }

        output.WriteLine($"{cases} cases of {made.Count} forms, {faults} end in exceptions");
        Assert.True(failures.Count == 0, $"{failures.Count} of {cases} cases differ.\n{string.Join('\n', failures.Take(20))}");
    }
}
