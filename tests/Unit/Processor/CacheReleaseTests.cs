using Hypervisor.Engine.Native.Memory;
using Hypervisor.Engine.Processor;
using Hypervisor.Tests.Unit.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Decoded and translated code whose memory is given back while the guest runs.</summary>
public sealed class CacheReleaseTests
{
    private const int Blocks = 3000, Rounds = 8;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_is_released_is_not_counted_any_more_and_is_there_again_when_it_is_run_again(bool translate)
    {
        using var fixture = new ProcessorFixture();
        LoadLongWay(fixture);
        using var cpu = fixture.AddProcessor(translate);
        long empty = cpu.HostBytes;
        Run(fixture, cpu);
        long full = cpu.HostBytes;
        Assert.True(full > empty + (Blocks * 64), $"{empty} {full}");

        // Forgotten only: its memory stays for what is to come.
        cpu.FlushPhysicalMappings();
        RunOne(fixture, cpu);
        Assert.Equal(full, cpu.HostBytes);
        cpu.ReleaseCaches();
        RunOne(fixture, cpu);
        Assert.InRange(cpu.HostBytes, empty, empty + 50_000);
        Run(fixture, cpu);
        Assert.InRange(cpu.HostBytes, full - (full / 8), full + (full / 8));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_guest_whose_caches_are_released_all_the_time_computes_as_ever(bool translate)
    {
        using var fixture = new ProcessorFixture();
        LoadLongWay(fixture);
        using var cpu = fixture.AddProcessor(translate);
        using var done = new CancellationTokenSource();
        var releaser = new Thread(() =>
        {
            while (!done.IsCancellationRequested)
            {
                cpu.ReleaseCaches();
                Thread.Yield();
            }
        });
        releaser.Start();
        try
        {
            for (int n = 0; n < 20; n++)
            {
                Run(fixture, cpu);
            }
        }
        finally
        {
            done.Cancel();
            releaser.Join();
        }
    }

    [LinuxFact]
    public void Memory_for_code_that_is_released_reads_as_zeroes_in_both_views()
    {
        const int page = 4096, pages = 16;
        using ExecutableMemory memory = ExecutableMemory.Allocate(pages * page);
        Span<byte> written = At(memory.Writable, pages * page), executed = At(memory.Executable, pages * page);
        written.Fill(0xCC);
        Assert.Equal(pages * page, ProcessMappings.PresentIn(memory.Writable, pages).Count * page);
        Assert.True(memory.Release(2 * page, 10 * page));
        Assert.Equal([0, 1, 12, 13, 14, 15], ProcessMappings.PresentIn(memory.Writable, pages).Order());
        Assert.Equal(-1, executed.Slice(2 * page, 10 * page).IndexOfAnyExcept((byte)0));
        Assert.Equal(-1, executed[..(2 * page)].IndexOfAnyExcept((byte)0xCC));
        written[3 * page] = 1;
        Assert.Equal(1, executed[3 * page]);
    }

    // SAFETY: the memory is as long, and outlives the span.
    private static unsafe Span<byte> At(nint address, int bytes) => new((void*)address, bytes);

    // Many small blocks one behind the other, several times, so that they are worth translating.
    private static void LoadLongWay(ProcessorFixture fixture) => fixture.Load(ProcessorFixture.CodeAddress, a =>
    {
        var again = a.CreateLabel();
        a.mov(ecx, Rounds);
        a.Label(ref again);
        for (int n = 0; n < Blocks; n++)
        {
            var next = a.CreateLabel();
            a.inc(eax);
            a.add(rbx, rax);
            a.jmp(next);
            a.Label(ref next);
        }

        a.dec(ecx);
        a.jnz(again);
        End(a);
    });

    private static void End(Assembler a)
    {
        var stay = a.CreateLabel();
        a.@out(0x80, al);
        a.Label(ref stay);
        a.jmp(stay);
    }

    private static void Run(ProcessorFixture fixture, X86Processor cpu)
    {
        const ulong steps = Blocks * Rounds;
        cpu.SetGeneralRegister(0, 0);
        cpu.SetGeneralRegister(3, 0);
        RunToEnd(fixture, cpu, ProcessorFixture.CodeAddress);
        Assert.Equal((steps, steps * (steps + 1) / 2), (cpu.GetGeneralRegister(0), cpu.GetGeneralRegister(3)));
    }

    private static void RunOne(ProcessorFixture fixture, X86Processor cpu)
    {
        fixture.Load(ProcessorFixture.DataAddress, End);
        RunToEnd(fixture, cpu, ProcessorFixture.DataAddress);
    }

    private static void RunToEnd(ProcessorFixture fixture, X86Processor cpu, ulong code)
    {
        fixture.PortWritten = cpu.RequestStop;
        cpu.Rip = code;
        Assert.Equal(StopReason.Requested, cpu.Run());
    }
}
