using Iced.Intel;
using Xunit.Abstractions;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// Every instruction does the same where each access to memory may move the pages of all others as where pages stay. Settings as for
/// <see cref="OracleTests"/>.
/// </summary>
public sealed class MovedInstructionTests(ITestOutputHelper output)
{
    private const int DefaultCases = 3_000;

    [OracleFact]
    public void Integer_instructions() => Run(InstructionSets.Integer, (codes, seed, first) => new CaseGenerator(codes, seed).Make(first));

    [OracleFact]
    public void Vector_instructions() => Run(InstructionSets.Vector, (codes, seed, first) => new CaseGenerator(codes, seed).Make(first));

    [OracleFact]
    public void Avx_instructions() => Run(InstructionSets.Avx, (codes, seed, first) => new CaseGenerator(codes, seed).Make(first));

    [OracleFact]
    public void X87_instructions() => Run(InstructionSets.X87, (codes, seed, first) => new CaseGenerator(codes, seed).Make(first));

    [OracleFact]
    public void Calls_returns_jumps_and_popped_flags() => Run(InstructionSets.Integer, (codes, seed, _) => new CaseGenerator(codes, seed).MakeTransfer());

    [OracleFact]
    public void State_images() => Run(
        InstructionSets.Vector,
        (codes, seed, _) => new CaseGenerator(codes, seed).MakeImage(CaseGenerator.ImageInstructions[seed % CaseGenerator.ImageInstructions.Length]));

    private void Run(Code[] codes, Func<Code[], int, Code, OracleCase> make)
    {
        if (codes.Length == 0)
        {
            return;
        }

        int cases = OracleTests.Setting("HYPERVISOR_ORACLE_CASES", DefaultCases), seed = OracleTests.Setting("HYPERVISOR_ORACLE_SEED", 1);
        using var still = new InterpretedProcessor();
        InterpretedProcessor[] moved = [new(frames: 3, seed: 1), new(frames: 7, seed: 2), new(translated: true, frames: 5, seed: 3)];
        var failures = new List<string>();
        for (int at = seed; at < seed + cases; at++)
        {
            var test = make(codes, at, codes[at % codes.Length]);
            if (test.Code.Length == 0)
            {
                continue;
            }

            var expected = test.Initial;
            test.Data.CopyTo(still.Data);
            still.Run(test.Code, ref expected);
            expected.Rflags &= ~test.EverUndefinedFlags;
            foreach (var processor in moved)
            {
                var actual = test.Initial;
                test.Data.CopyTo(processor.Data);
                processor.Run(test.Code, ref actual);

                // Which differ between copied and interpreted instructions.
                actual.Rflags &= ~test.EverUndefinedFlags;
                if (!Same(expected, actual) || !still.Data.SequenceEqual(processor.Data))
                {
                    failures.Add($"seed {at}, processor {Array.IndexOf(moved, processor)}\n{test.Text()}");
                }
            }
        }

        foreach (var processor in moved)
        {
            processor.Pages!.Stop();
            output.WriteLine($"{processor.Pages.Arrivals} arrivals");
            Assert.Null(processor.Pages.Failure);
            processor.Dispose();
        }

        Assert.True(failures.Count == 0, $"{failures.Count} of {cases} cases differ.\n{string.Join('\n', failures.Take(20))}");
    }

    internal static unsafe bool Same(in MachineState expected, in MachineState actual)
    {
        fixed (MachineState* a = &expected, b = &actual)
        {
            return new ReadOnlySpan<byte>(a, sizeof(MachineState)).SequenceEqual(new ReadOnlySpan<byte>(b, sizeof(MachineState)));
        }
    }
}
