using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Tests.Guests.Support;

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
