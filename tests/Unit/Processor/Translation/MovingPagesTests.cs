using System.Globalization;
using Hypervisor.Engine.Processor;
using Iced.Intel;
using Xunit.Abstractions;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>
/// Programs do the same where pages of memory move about as where they do not. HYPERVISOR_FUZZ_CASES sets how many random programs,
/// HYPERVISOR_FUZZ_SEED where they begin.
/// </summary>
public sealed unsafe class MovingPagesTests(ITestOutputHelper output)
{
    private const int DefaultCases = 6, Budget = 1500, Pages = (int)(M.MemoryBytes / 4096);

    [Theory]
    [InlineData(4)]
    [InlineData(12)]
    [InlineData(40)]
    public void Random_programs_end_in_the_same_state_when_pages_move(int frames)
    {
        int cases = Setting("HYPERVISOR_FUZZ_CASES", DefaultCases), seed = Setting("HYPERVISOR_FUZZ_SEED", 1);
        int arrivals = 0;
        for (int n = seed; n < seed + cases; n++)
        {
            if (RunStill(n) is not var (expected, memory))
            {
                continue;
            }

            foreach (int threshold in (int[])[0, 1, 3])
            {
                using var machine = new M(threshold, 1 << 20);
                using var pages = MoveAbout(machine, frames, n, () => [machine.Cpu]);
                Generate(n).Run(machine, Budget);
                pages.Stop();
                Check(machine, pages, expected, memory, $"seed {n}, threshold {threshold}");
                arrivals += pages.Arrivals;
            }
        }

        output.WriteLine($"{cases} programs, {frames} frames: {arrivals} arrivals");
    }

    [Fact]
    public void Random_programs_of_four_processors_that_wait_for_each_other_end_in_the_same_state()
    {
        const int processors = 4;
        int cases = Setting("HYPERVISOR_FUZZ_CASES", DefaultCases), seed = Setting("HYPERVISOR_FUZZ_SEED", 1);
        int arrivals = 0;
        for (int n = seed; n < seed + cases; n++)
        {
            if (Enumerable.Range(0, processors).Any(p => RunStill(n + (1000 * p)) == null))
            {
                continue;
            }

            // Each has a memory of its own, but all are told of all pages.
            var machines = Enumerable.Range(0, processors).Select(p => new M((p * 3) % 4, 1 << 20)).ToArray();
            var everyone = machines.Select(machine => machine.Cpu).ToArray();
            var pages = machines.Select((machine, p) => MoveAbout(machine, 8 + (8 * p), n + p, () => everyone)).ToArray();
            var guests = machines.Select((_, p) => Generate(n + (1000 * p))).ToArray();
            var threads = machines.Select((machine, p) => new Thread(() => guests[p].Run(machine, Budget))).ToArray();
            Array.ForEach(pages, one => one.Start());
            Array.ForEach(threads, thread => thread.Start());
            Array.ForEach(threads, thread => thread.Join());
            Array.ForEach(pages, one => one.Stop());
            for (int p = 0; p < processors; p++)
            {
                var (expected, memory) = RunStill(n + (1000 * p))!.Value;
                Check(machines[p], pages[p], expected, memory, $"seed {n}, processor {p}");
                arrivals += pages[p].Arrivals;
                pages[p].Dispose();
                machines[p].Dispose();
            }
        }

        output.WriteLine($"{cases} rounds: {arrivals} arrivals");
    }

    [Theory]
    [InlineData("add", 0x100)]
    [InlineData("add", 0xFFC)]
    [InlineData("xadd", 0xFFE)]
    [InlineData("cmpxchg", 0xFF9)]
    [InlineData("cmpxchg16b", 0xFF0)]
    [InlineData("bytes", 0x100)]
    [InlineData("strings", 0xE00)]
    public void Counters_of_four_processors_sum_up_when_pages_move(string kind, int offset)
    {
        const int processors = 4, rounds = 10_000, frames = 7;
        foreach (int threshold in (int[])[0, 1])
        {
            using var machine = new M(threshold);
            ulong counter = M.Data + (ulong)offset;
            var everyone = new List<X86Processor> { machine.Cpu };
            for (int n = 0; n < processors; n++)
            {
                ulong at = M.Code + ((ulong)n << 14);
                machine.Load(at, a => WriteCounter(a, kind, counter, n, rounds));
                var cpu = n == 0 ? machine.Cpu : machine.AddProcessor();
                if (n > 0)
                {
                    everyone.Add(cpu);
                }

                cpu.Rip = at;
                cpu.SetGeneralRegister(4, M.StackTop - ((ulong)n << 13));
            }

            using var pages = MoveAbout(machine, frames, 1, () => [.. everyone]);
            pages.Start();
            var reasons = new StopReason[processors];
            var threads = everyone.Select((cpu, n) => new Thread(() => reasons[n] = cpu.Run())).ToArray();
            Array.ForEach(threads, thread => thread.Start());
            Array.ForEach(threads, thread => thread.Join());
            pages.Stop();
            Assert.Null(pages.Failure);
            Assert.All(reasons, reason => Assert.Equal(StopReason.Halted, reason));
            Assert.All(everyone, cpu => Assert.InRange(cpu.Rip, M.Code, M.Code + (processors << 14)));
            output.WriteLine($"threshold {threshold}: {pages.Arrivals} arrivals");
            switch (kind)
            {
                case "bytes" or "strings":
                    for (int n = 0; n < processors; n++)
                    {
                        Assert.Equal((ulong)rounds, machine.Read(counter + (ulong)(n * 8)) & 0xFFFF);
                    }

                    break;
                case "cmpxchg16b":
                    Assert.Equal(2ul * processors * rounds, machine.Read(counter + 8));
                    goto default;
                default:
                    Assert.Equal((ulong)(processors * rounds), machine.Read(counter));
                    break;
            }
        }
    }

    // A processor's program: counts to its number of rounds in what it shares with the others.
    private static void WriteCounter(Assembler a, string kind, ulong counter, int processor, int rounds)
    {
        var again = a.CreateLabel();
        ulong own = M.Data + 0x1_0000 + ((ulong)processor << 14) + 0xF80;
        a.mov(rdi, counter);
        a.mov(r8d, rounds);
        a.Label(ref again);
        switch (kind)
        {
            case var other when LockedIncrement.TryWrite(a, other):
                break;
            case "bytes":
                // A plain counter each, in a page of all.
                a.inc(__word_ptr[rdi + (processor * 8)]);
                a.push(rdi);
                a.pop(rdi);
                break;
            default:
                // The counter goes through the processor's own pages by string instructions, in which it is counted.
                a.lea(rsi, __[rdi + (processor * 8)]);
                a.mov(rbx, rsi);
                a.mov(rdi, own);
                a.mov(ecx, 8);
                a.rep.movsb();
                a.mov(rsi, own);
                a.mov(rdi, own + 0x400);
                a.mov(ecx, 0x200);
                a.rep.movsb();
                a.mov(rdi, own + 0x800);
                a.mov(rsi, own + 0x400);
                a.mov(ecx, 0x40);
                a.rep.movsq();
                a.mov(rax, __qword_ptr[rdi - 0x200]);
                a.inc(rax);
                a.mov(rdi, own);
                a.mov(ecx, 0x180);
                a.rep.stosq();
                a.mov(__qword_ptr[own + 0x180], rax);
                a.mov(rsi, own + 0x180);
                a.mov(rdi, rbx);
                a.movsq();
                a.mov(rdi, counter);
                break;
        }

        a.dec(r8d);
        a.jnz(again);
        a.hlt();
    }

    // Null where the program does not end, as one in a thousand does not: a return to a page that was exchanged for another can land
    // behind the start of a loop, which then counts down from anything.
    private static (string State, byte[] Memory)? RunStill(int seed)
    {
        using var machine = new M(0, 1 << 20);
        using var impatience = new Timer(_ => machine.Cpu.RequestStop(), null, TimeSpan.FromMinutes(2), Timeout.InfiniteTimeSpan);
        Generate(seed).Run(machine, Budget);
        return machine.Reason == StopReason.Requested ? null : (machine.Describe(), TranslationComparison.Contents(machine));
    }

    private static RandomGuest Generate(int seed)
    {
        var guest = new RandomGuest(seed);
        guest.Generate();
        return guest;
    }

    private static MovingPages MoveAbout(M machine, int frames, int seed, Func<X86Processor[]> processors) =>
        machine.Pages = new MovingPages(machine.Host, Pages, frames, seed, processors);

    private static void Check(M machine, MovingPages pages, string expected, byte[] memory, string where)
    {
        Assert.True(pages.Failure == null, $"{pages.Failure} At {where}.");
        string actual = machine.Describe();
        Assert.True(expected == actual, $"At {where}:\n{expected}\n---\n{actual}");
        int differs = TranslationComparison.Contents(machine).AsSpan().CommonPrefixLength(memory);
        Assert.True(differs == memory.Length, $"Memory differs at {differs:X}, {where}.");
        Assert.True(pages.Arrivals > 0);
    }

    private static int Setting(string name, int otherwise) =>
        int.TryParse(Environment.GetEnvironmentVariable(name), NumberStyles.None, CultureInfo.InvariantCulture, out int value) ? value : otherwise;
}
