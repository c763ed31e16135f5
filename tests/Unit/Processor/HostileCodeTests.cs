using System.Globalization;
using Xunit.Abstractions;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>
/// Random bytes as code, with random registers, segments, descriptor tables and page tables, in every mode. HYPERVISOR_FUZZ_CASES and
/// HYPERVISOR_FUZZ_BLOCKS set the number of cases or decoded blocks of each test, HYPERVISOR_FUZZ_SEED where they begin.
/// </summary>
public class HostileCodeTests(ITestOutputHelper output)
{
    private const int DefaultCases = 3000, DefaultBlocks = 20_000, StopsOfCase = 50;

    [Theory]
    [InlineData(16, 1, false)]
    [InlineData(32, 2, false)]
    [InlineData(33, 3, false)]
    [InlineData(34, 4, false)]
    [InlineData(64, 5, false)]
    [InlineData(64, 6, true)]
    [InlineData(64, 7, true)]
    [InlineData(32, 8, true)]
    [InlineData(33, 9, true)]
    [InlineData(34, 10, true)]
    [InlineData(35, 18, false)]
    [InlineData(35, 19, true)]
    public void Random_code_ends_in_guest_exceptions_and_touches_nothing_but_its_memory(int mode, int seed, bool translated)
    {
        int cases = Setting("HYPERVISOR_FUZZ_CASES", DefaultCases);
        using var machine = new HostileMachine(seed + Setting("HYPERVISOR_FUZZ_SEED", 0), translated);
        for (int n = 0; n < cases; n++)
        {
            machine.RunCase(mode);
        }

        machine.CheckSurroundings();
        var statistics = machine.Cpu.GetStatistics();
        output.WriteLine(
            $"{cases} cases: {statistics.DecodedBlocks} blocks decoded, {statistics.TranslatedBlocks} translated, {statistics.Exceptions} exceptions");
    }

    [Theory]
    [InlineData(16, 1, false, 3)]
    [InlineData(32, 2, false, 4)]
    [InlineData(33, 3, false, 10)]
    [InlineData(34, 4, false, 10)]
    [InlineData(64, 5, false, 6)]
    [InlineData(64, 6, true, 12)]
    [InlineData(33, 7, true, 10)]
    [InlineData(34, 8, true, 10)]
    [InlineData(35, 9, true, 10)]
    public void Random_code_stores_nowhere_else_when_pages_come_and_go(int mode, int seed, bool translated, int frames)
    {
        int cases = Setting("HYPERVISOR_FUZZ_CASES", DefaultCases) / 10;
        using var machine = new HostileMachine(seed + Setting("HYPERVISOR_FUZZ_SEED", 0), translated, frames);
        for (int n = 0; n < cases; n++)
        {
            machine.RunCase(mode);
        }

        machine.CheckSurroundings();
        machine.Pages!.Stop();
        Assert.Null(machine.Pages.Failure);
        output.WriteLine($"{cases} cases: {machine.Pages.Arrivals} arrivals, {machine.Cpu.GetStatistics().Exceptions} exceptions");
    }

    // A stop comes each millisecond.
    [Theory]
    [InlineData(16, 11, false)]
    [InlineData(32, 12, false)]
    [InlineData(33, 13, false)]
    [InlineData(34, 14, false)]
    [InlineData(64, 15, false)]
    [InlineData(64, 16, true)]
    [InlineData(64, 17, true)]
    [InlineData(32, 18, true)]
    [InlineData(33, 19, true)]
    [InlineData(34, 20, true)]
    [InlineData(35, 21, false)]
    [InlineData(35, 22, true)]
    public void Code_that_goes_on_after_its_exceptions_touches_nothing_but_its_memory(int mode, int seed, bool translated)
    {
        int wanted = Setting("HYPERVISOR_FUZZ_BLOCKS", DefaultBlocks);
        using var machine = new HostileMachine(seed + Setting("HYPERVISOR_FUZZ_SEED", 0), translated);
        int cases = 0;
        while (machine.Cpu.GetStatistics().DecodedBlocks < wanted)
        {
            machine.RunDense(mode, StopsOfCase);
            cases++;
        }

        machine.CheckSurroundings();
        var statistics = machine.Cpu.GetStatistics();
        output.WriteLine($"{cases} cases: {statistics.DecodedBlocks} blocks decoded, {statistics.TranslatedBlocks} translated, {statistics.Exceptions} exceptions, "
            + $"{statistics.Entries} entries, {statistics.CacheEvictions} evictions, {machine.Cpu.RetiredInstructions} instructions");
    }

    // A stop comes each millisecond, and devices have the processors interrupt and reset each other, and take their memory from them.
    [Theory]
    [InlineData(16, 31, false, 2, 0)]
    [InlineData(33, 32, false, 2, 0)]
    [InlineData(64, 34, true, 2, 0)]
    [InlineData(34, 35, true, 2, 0)]
    [InlineData(35, 36, true, 3, 0)]
    [InlineData(33, 37, false, 1, 12)]
    [InlineData(64, 38, true, 2, 24)]
    public void Processors_that_disturb_each_other_or_lose_their_pages_touch_nothing_but_their_memory_and_can_be_stopped(
        int mode, int seed, bool translated, int processors, int frames)
    {
        int wanted = Setting("HYPERVISOR_FUZZ_BLOCKS", DefaultBlocks / 40);
        using var machine = new HostileMachine(seed + Setting("HYPERVISOR_FUZZ_SEED", 0), translated, frames, processors);
        int cases = 0;
        while (machine.Cpu.GetStatistics().DecodedBlocks < wanted)
        {
            machine.RunDense(mode, StopsOfCase);
            cases++;
        }

        machine.CheckSurroundings();
        machine.Pages?.Stop();
        Assert.Null(machine.Pages?.Failure);
        var statistics = machine.Cpu.GetStatistics();
        output.WriteLine($"{cases} cases: {statistics.DecodedBlocks} blocks decoded, {statistics.TranslatedBlocks} translated, {statistics.Exceptions} exceptions, "
            + $"{machine.Pages?.Arrivals} arrivals, {machine.Cpu.RetiredInstructions} instructions, {machine.SiblingInstructions} of others");
    }

    private static int Setting(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : otherwise;
}
