using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>Two processors on two threads share memory and code.</summary>
public sealed unsafe class SharedMemoryTests
{
    private const ulong Second = M.Code + 0x4000, Shared = M.Code + 0x8000;
    private const int Rounds = 20_000;

    [Theory]
    [InlineData("add")]
    [InlineData("xadd")]
    [InlineData("inc")]
    [InlineData("cmpxchg")]
    [InlineData("cmpxchg16b")]
    [InlineData("xchg")]
    [InlineData("split")]
    [InlineData("bts")]
    public void Locked_counters_of_two_processors_sum_up(string kind)
    {
        using var machine = new M(threshold: 1);
        ulong counter = M.Data + (kind == "split" ? 0xFFCul : 0);
        void Body(Assembler a)
        {
            a.mov(rdi, counter);
            a.mov(r8d, Rounds);
            var again = a.CreateLabel();
            var retry = a.CreateLabel();
            a.Label(ref again);
            switch (kind)
            {
                case "split": a.@lock.add(__qword_ptr[rdi], 1); break;
                case "inc": a.@lock.inc(__dword_ptr[rdi]); break;
                case var other when LockedIncrement.TryWrite(a, other): break;
                default:
                    a.nop();

                    // A spin lock around a plain counter.
                    a.Label(ref retry);
                    if (kind == "bts")
                    {
                        a.@lock.bts(__dword_ptr[rdi + 16], 0);
                        a.jc(retry);
                    }
                    else
                    {
                        a.mov(eax, 1);
                        a.xchg(__dword_ptr[rdi + 16], eax);
                        a.test(eax, eax);
                        a.jnz(retry);
                    }

                    a.add(__qword_ptr[rdi], 1);
                    a.mov(__dword_ptr[rdi + 16], 0);
                    break;
            }

            a.dec(r8d);
            a.jnz(again);
            a.hlt();
        }

        machine.Load(M.Code, Body);
        machine.Load(Second, Body);
        RunBoth(machine, Second);
        Assert.Equal(2ul * Rounds, machine.Read(counter));
        if (kind == "cmpxchg16b")
        {
            Assert.Equal(4ul * Rounds, machine.Read(counter + 8));
        }
    }

    [Fact]
    public void Code_that_the_other_processor_rewrote_runs_after_a_serialising_instruction()
    {
        using var machine = new M(threshold: 1);
        const int Versions = 2000;

        // Request and answer by turns: the writer puts a number into MOV EAX, the reader says what it returned.
        machine.Load(Shared, a =>
        {
            a.mov(eax, 0);
            a.ret();
        });
        machine.Load(M.Code, a =>
        {
            var again = a.CreateLabel();
            var wait = a.CreateLabel();
            a.mov(rdi, M.Data);
            a.mov(rsi, Shared);
            a.mov(r8d, 1);
            a.Label(ref again);
            a.mov(__dword_ptr[rsi + 1], r8d);
            a.mov(__dword_ptr[rdi], r8d);
            a.Label(ref wait);
            a.cmp(__dword_ptr[rdi + 64], r8d);
            a.jne(wait);
            a.mov(eax, __dword_ptr[rdi + 128]);
            a.sub(eax, r8d);
            a.or(r15d, eax);
            a.inc(r8d);
            a.cmp(r8d, Versions);
            a.jne(again);
            a.hlt();
        });
        machine.Load(Second, a =>
        {
            var again = a.CreateLabel();
            var wait = a.CreateLabel();
            a.mov(rdi, M.Data);
            a.mov(rsi, Shared);
            a.mov(r8d, 1);
            a.Label(ref again);
            a.nop();
            a.Label(ref wait);
            a.cmp(__dword_ptr[rdi], r8d);
            a.jne(wait);
            a.cpuid();
            a.call(rsi);
            a.mov(__dword_ptr[rdi + 128], eax);
            a.mov(__dword_ptr[rdi + 64], r8d);
            a.inc(r8d);
            a.cmp(r8d, Versions);
            a.jne(again);
            a.hlt();
        });
        RunBoth(machine, Second);
        Assert.Equal(0ul, machine.Register(15));
    }

    [Fact]
    public void A_page_that_was_data_of_one_processor_becomes_code_of_the_other()
    {
        using var machine = new M(threshold: 1);
        const int Pages = 64, Times = 20;
        machine.Load(M.Code, a =>
        {
            // Writes a function of each page many times, so that its stores are translated and its tags warm, then asks.
            var again = a.CreateLabel();
            var wait = a.CreateLabel();
            var fill = a.CreateLabel();
            a.mov(rdi, M.Data);
            a.mov(r8d, 1);
            a.Label(ref again);
            a.mov(esi, r8d);
            a.and(esi, Pages - 1);
            a.shl(esi, 12);
            a.add(rsi, (int)Shared);
            a.mov(ecx, 50);
            a.Label(ref fill);
            a.mov(__byte_ptr[rsi], 0xB8);
            a.mov(__dword_ptr[rsi + 1], r8d);
            a.mov(__byte_ptr[rsi + 5], 0xC3);
            a.dec(ecx);
            a.jnz(fill);
            a.mov(__dword_ptr[rdi], r8d);
            a.Label(ref wait);
            a.cmp(__dword_ptr[rdi + 64], r8d);
            a.jne(wait);
            a.mov(eax, __dword_ptr[rdi + 128]);
            a.sub(eax, r8d);
            a.or(r15d, eax);
            a.inc(r8d);
            a.cmp(r8d, Pages * Times);
            a.jne(again);
            a.hlt();
        });
        machine.Load(Second, a =>
        {
            var again = a.CreateLabel();
            var wait = a.CreateLabel();
            a.mov(rdi, M.Data);
            a.mov(r8d, 1);
            a.Label(ref again);
            a.mov(esi, r8d);
            a.and(esi, Pages - 1);
            a.shl(esi, 12);
            a.add(rsi, (int)Shared);
            a.Label(ref wait);
            a.cmp(__dword_ptr[rdi], r8d);
            a.jne(wait);
            a.cpuid();
            a.call(rsi);
            a.mov(__dword_ptr[rdi + 128], eax);
            a.mov(__dword_ptr[rdi + 64], r8d);
            a.inc(r8d);
            a.cmp(r8d, Pages * Times);
            a.jne(again);
            a.hlt();
        });
        RunBoth(machine, Second);
        Assert.Equal(0ul, machine.Register(15));
    }

    [Theory]
    [InlineData(0, 100_000)]
    [InlineData(1, 2_000_000)]
    public void Code_that_is_rewritten_while_others_begin_to_run_it_does_not_stay_stale(int threshold, int versions)
    {
        // One writes the version into the function, by a store whose page was looked up well before, and then says so; the others run
        // the function all the time, and must never see less than what was said before they called it.
        using var machine = new M(threshold);
        const int readers = 3;
        machine.Load(Shared, a =>
        {
            a.mov(eax, 0);
            a.ret();
        });
        machine.Load(M.Code, a =>
        {
            var again = a.CreateLabel();
            var wait = a.CreateLabel();
            a.mov(rdi, M.Data);
            a.mov(rsi, Shared);
            a.mov(r8d, 1);
            a.Label(ref wait);
            a.cmp(__dword_ptr[rdi + 128], readers);
            a.jne(wait);
            a.Label(ref again);
            a.mov(__dword_ptr[rsi + 64], r8d);
            for (int n = 0; n < 20; n++)
            {
                a.imul(r9, r9);
            }

            a.mov(__dword_ptr[rsi + 1], r8d);
            a.mov(__dword_ptr[rdi], r8d);
            a.inc(r8d);
            a.cmp(r8d, versions);
            a.jbe(again);
            a.hlt();
        });
        machine.Load(Second, a =>
        {
            var again = a.CreateLabel();
            var right = a.CreateLabel();
            a.mov(rdi, M.Data);
            a.mov(rsi, Shared);
            a.xor(r15d, r15d);
            a.@lock.inc(__dword_ptr[rdi + 128]);
            a.Label(ref again);
            a.mov(r9d, __dword_ptr[rdi]);
            a.cpuid();
            a.call(rsi);
            a.cmp(eax, r9d);
            a.jae(right);
            a.inc(r15d);
            a.Label(ref right);
            a.cmp(r9d, versions);
            a.jb(again);
            a.hlt();
        });
        var others = Enumerable.Range(0, readers).Select(n =>
        {
            var cpu = machine.AddProcessor();
            cpu.Rip = Second;
            cpu.SetGeneralRegister(4, M.StackTop - ((ulong)(n + 1) << 13));
            return cpu;
        }).ToArray();
        var threads = others.Select(cpu => new Thread(() => cpu.Run())).ToArray();
        Array.ForEach(threads, thread => thread.Start());
        machine.Run(M.Code);
        Array.ForEach(threads, thread => thread.Join());
        Assert.All(others, cpu => Assert.Equal(0ul, cpu.GetGeneralRegister(15)));
    }

    [Fact]
    public void A_page_taken_away_is_gone_once_the_other_processor_was_told()
    {
        using var machine = new M(threshold: 1);
        machine.Map(M.Free, M.Data + 0x1000, M.Present | M.Writable);
        machine.Load(M.Code, a =>
        {
            var again = a.CreateLabel();
            a.mov(rbx, M.Free);
            a.Label(ref again);
            a.inc(__qword_ptr[rbx]);
            a.add(rax, __qword_ptr[rbx + 8]);
            a.jmp(again);
        });
        var stopper = new Thread(() =>
        {
            // So that it is in the middle of its loop, usually; whenever this comes the outcome is the same.
            Thread.Sleep(5);
            machine.Map(M.Free, 0, 0);
            machine.Cpu.FlushPhysicalMappings();
        });
        stopper.Start();
        machine.Run(M.Code);
        stopper.Join();
        Assert.Equal(14, machine.Vector);
        Assert.Equal(M.Free, machine.Cpu.Cr2);
    }

    private static void RunBoth(M machine, ulong secondRip)
    {
        var other = machine.AddProcessor();
        other.Rip = secondRip;
        other.SetGeneralRegister(4, M.StackTop - 0x1_0000);
        var reason = StopReason.Requested;
        var thread = new Thread(() => reason = other.Run());
        thread.Start();
        machine.Run(M.Code);
        thread.Join();
        Assert.Equal(StopReason.Halted, machine.Reason);
        Assert.Equal(-1, machine.Vector);
        Assert.Equal(StopReason.Halted, reason);
        if (machine.Cpu.GetStatistics() is var statistics)
        {
            Assert.True(!TranslationSupport.IsAvailable || statistics.TranslatedBlocks > 0);
        }
    }
}
