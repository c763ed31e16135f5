using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Guests.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Machines;

/// <summary>Stock kernels with more memory in use than the host gives them together.</summary>
public sealed class MemoryOvercommitTests : IDisposable
{
    private const long Megabyte = 1 << 20;
    private const int Guests = 3, GuestMB = 192, BudgetMB = 440;

    // Random content, which can only be swapped; text, which compresses and repeats; zeroes. Sums are taken while all of it is still in memory.
    private const string Script = """
        mount -t tmpfs -o size=95% none /tmp
        cd /tmp
        for i in 1 2 3 4 5; do head -c 8388608 /dev/urandom > random$i; done
        yes "the same line in every guest" | head -c 25165824 > text
        head -c 25165824 /dev/zero > zeroes
        sha256sum * > /sums
        echo filled
        for i in 1 2 3; do sha256sum -c -s /sums && echo "right $i" || echo "wrong $i"; done
        rm random1 random2 text
        head -c 8388608 /dev/urandom > random1
        grep -v 'random[12]\|text' /sums > /left
        sha256sum -c -s /left && echo "right 4" || echo "wrong 4"
        echo done
        """;

    private readonly string _folder = Directory.CreateTempSubdirectory("memory").FullName;
    private readonly MemoryConfigurationSource _source = new();
    private readonly MemoryManager _manager;

    public MemoryOvercommitTests()
    {
        _source.Publish(new MemoryConfiguration { BudgetBytes = BudgetMB * Megabyte, ProcessorMHz = 4000, Settings = new MemoryPolicySettings { SamplePeriodSeconds = 5 } });
        _manager = new MemoryManager(_source) { SwapPathOf = id => Path.Combine(_folder, $"{id}.vswp") };
    }

    public void Dispose()
    {
        _manager.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public async Task A_guest_that_gets_half_of_the_memory_it_uses_finds_what_it_wrote(BackendKind backend)
    {
        const int MemoryMB = 48, Rounds = 3;
        const uint First = 0x80_0000, End = 0x280_0000, Odd = 0x3000, Sixteenth = 0xF000;
        _source.Publish(_source.Current with { BudgetBytes = 0 });
        byte[] kernel = GuestKernel.Assemble(static code =>
        {
            Label round = code.CreateLabel(), wrong = code.CreateLabel();
            code.MakeNoise();
            code.mov(ebp, Rounds);
            code.Label(ref round);
            ForEachPage(code, write: true, wrong);
            ForEachPage(code, write: false, wrong);
            ForEachPage(code, write: false, wrong);
            code.Print(".");
            code.dec(ebp);
            code.jne(round);
            code.Exit(0);
            code.Label(ref wrong);
            code.mov(eax, ebx);
            code.ExitWithEax();
        });
        using var guest = new TestGuest(backend, kernel, static configuration => configuration with { MemoryMB = MemoryMB }, new MachineFactory(scheduler: null, memory: _manager));

        // Beside its overhead the machine gets 18 MB, and 2 have to be free.
        _source.Publish(_source.Current with { BudgetBytes = _manager.Statistics().OverheadBytes + (18 * Megabyte) });
        guest.Start();
        GuestPageStatistics? pages = null;
        using var patience = new CancellationTokenSource(LinuxGuest.Patience);
        while (!guest.Machine.Stopped.IsCompleted)
        {
            Assert.False(patience.IsCancellationRequested, $"{guest.Output} {pages}");
            pages = _manager.Statistics().Machines.SingleOrDefault()?.Pages ?? pages;
            await Task.WhenAny(guest.Machine.Stopped, Task.Delay(20));
        }

        MachineStop stop = await guest.Machine.Stopped;
        Assert.Equal((MachineStopReason.DebugExit, 0), (stop.Reason, stop.ExitCode));
        Assert.True(pages!.SwapOuts > 500 && pages.SwapIns > 500 && pages.Compressions > 500, $"{pages}");

        // Every sixteenth page is noise, every fourth zeroes, the others hold two words.
        static void ForEachPage(Assembler code, bool write, Label wrong)
        {
            Label next = code.CreateLabel(), noise = code.CreateLabel(), zero = code.CreateLabel(), done = code.CreateLabel();
            code.mov(ebx, First);
            code.Label(ref next);
            code.imul(eax, ebp, 0x1E3779B1);
            code.xor(eax, ebx);
            code.test(ebx, Sixteenth);
            code.je(noise);
            code.test(ebx, Odd);
            code.je(zero);
            Access(8);
            code.not(eax);
            Access(4000);
            code.jmp(done);
            code.Label(ref zero);
            code.xor(eax, eax);
            Access(16);
            code.jmp(done);
            code.Label(ref noise);
            code.StoreOrCompareNoise(ebx, eax, write, wrong);
            code.Label(ref done);
            code.add(ebx, 4096);
            code.cmp(ebx, End);
            code.jb(next);

            void Access(int offset) => code.StoreOrCompare(__dword_ptr[ebx + offset], write, wrong);
        }
    }

    [LinuxFact]
    public async Task Guests_with_more_memory_than_there_is_keep_all_of_their_content()
    {
        string disk = Path.Combine(_folder, "script");
        await File.WriteAllTextAsync(disk, Script.PadRight(4096, '\n'));
        LinuxGuest[] guests = [.. Enumerable.Range(0, Guests).Select(number => LinuxGuest.Start(
            configuration => configuration with { Name = $"m{number}", MemoryMB = GuestMB, Disks = [new() { Path = disk, ReadOnly = true }] },
            new MachineFactory(scheduler: null, memory: _manager)))];
        try
        {
            var worst = HostMemoryState.High;
            long swapped = 0, compressed = 0, ballooned = 0;
            using var ended = new CancellationTokenSource();
            Task watch = Task.Run(async () =>
            {
                while (!ended.IsCancellationRequested)
                {
                    var now = _manager.Statistics();
                    worst = now.State > worst ? now.State : worst;
                    swapped = Math.Max(swapped, now.Machines.Sum(static machine => machine.Pages!.Swapped));
                    compressed = Math.Max(compressed, now.Machines.Sum(static machine => machine.Pages!.Compressed));
                    ballooned = Math.Max(ballooned, now.Machines.Sum(static machine => machine.BalloonBytes));
                    await Task.Delay(50);
                }
            });
            await Task.WhenAll(guests.Select(static guest => guest.Booted()));
            await Task.WhenAll(guests.Select(static guest => guest.Type("sh /dev/vda")));
            await Task.WhenAll(guests.Select(static guest => guest.Expect("\ndone")));
            await ended.CancelAsync();
            await watch;
            Assert.All(guests, static guest =>
            {
                Assert.DoesNotContain("wrong", guest.Output, StringComparison.Ordinal);
                Assert.Contains("right 4", guest.Output, StringComparison.Ordinal);
                Assert.DoesNotContain("Call Trace", guest.Output, StringComparison.Ordinal);
            });

            // All of it together would have taken more than there was.
            var statistics = _manager.Statistics();
            Assert.True(worst >= HostMemoryState.Soft, $"worst state {worst}");
            Assert.True(statistics.SharedPages > 0 || ballooned + swapped + compressed > 0, "Nothing was reclaimed.");
            Assert.True(statistics.UsedBytes <= statistics.BudgetBytes, $"{statistics.UsedBytes} of {statistics.BudgetBytes} bytes are in use.");
        }
        finally
        {
            Array.ForEach(guests, static guest => guest.Dispose());
        }

        Assert.Empty(Directory.GetFiles(_folder, "*.vswp"));
        Assert.Equal(0, _manager.Statistics().SharedPages);
    }
}
