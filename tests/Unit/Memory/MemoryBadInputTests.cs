using System.Buffers.Binary;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>Disks that are full or slow, kernels that refuse, drivers that lie.</summary>
public sealed class MemoryBadInputTests : IDisposable
{
    private const ReclaimMethods All = ReclaimMethods.Share | ReclaimMethods.Compress | ReclaimMethods.Swap;
    private const long Megabyte = 1 << 20;
    private const int PageBytes = 4096;

    private readonly string _folder = Directory.CreateTempSubdirectory("memory").FullName;
    private readonly List<MachineEvent> _events = [];
    private readonly List<Exception> _failures = [];
    private readonly MemoryConfigurationSource _source = new();
    private readonly MemoryManager _manager;
    private long _now;

    public MemoryBadInputTests() => _manager = new MemoryManager(_source, clock: () => _now);

    public void Dispose()
    {
        _manager.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    /// <summary>What a driver does that is no good one.</summary>
    public enum Lie
    {
        NeverAnswers,
        ClaimsWithoutGiving,
        ClaimsMoreThanThereIs,
        TakesBackAtOnce,
        GivesTheSameAgain,
        GivesWhatIsNotMemory,
        GivesWhatDevicesUse,
    }

    [Fact]
    public void A_page_that_is_used_while_it_waits_for_the_swap_file_keeps_what_was_stored_last()
    {
        const int Count = 300, Changed = 260;
        using var compressor = new WatchedCompressor();
        using var machine = new PagedMachine(Count, swap: new MemoryStorage(), compressor: compressor);
        for (int page = 0; page < Count; page++)
        {
            machine.Fill(page, 3 + ((ulong)page * 4));
        }

        // When the last page is looked at, those behind the first 256 are copied and not yet written.
        compressor.Called = calls =>
        {
            if (calls == Count)
            {
                machine.Store(Changed, 8, 42);
            }
        };
        machine.Pages.Reclaim(2 * Count, All, urgent: true);
        Assert.Equal(42ul, machine.Load(Changed, 8));
        Assert.Equal(PagedMachine.Content(3 + (Changed * 4), 16), machine.Load(Changed, 16));
    }

    [Fact]
    public void A_guest_that_gives_back_all_of_its_memory_hundreds_of_times_at_once_costs_no_memory()
    {
        const int Count = 32768;
        using var machine = new PagedMachine(Count);
        machine.Fill(100, 3);
        machine.Fill(Count - 1, 3);
        PageRange[] ranges = [.. Enumerable.Range(0, 256).Select(static number => new PageRange(number % 2 == 0 ? 0 : PagedMachine.HighMemory, uint.MaxValue))];
        machine.Pages.Release(ranges.AsSpan(0, 1));
        machine.Fill(100, 3);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Equal(2, machine.Pages.Release(ranges));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 100_000);
        Assert.Equal(0, machine.Meter.Used);
        Assert.Equal(0ul, machine.Load(100, 0));
    }

    [Fact]
    public void Who_has_others_to_see_to_does_not_wait_for_a_slow_swap_disk()
    {
        const int Count = 1500;
        using var machine = new PagedMachine(Count, swap: new MemoryStorage { WriteTime = TimeSpan.FromMilliseconds(60) }, cacheBytes: 0);
        for (int page = 0; page < Count; page++)
        {
            machine.Fill(page, 3 + ((ulong)page * 4));
        }

        Assert.InRange(machine.Pages.Reclaim(Count, All, urgent: true, TimeSpan.FromMilliseconds(50), out string? failure), 0, 2 * SwapFile.BatchPages);
        Assert.Null(failure);
        for (int page = 0; page < Count; page++)
        {
            Assert.Equal(PagedMachine.Content(3 + ((ulong)page * 4), 2000), machine.Load(page, 2000));
        }
    }

    [Fact]
    public void A_machine_whose_memory_the_kernel_refuses_to_manage_ends_and_others_go_on()
    {
        _source.Publish(new MemoryConfiguration { BudgetBytes = 20 * Megabyte });
        var partition = new ManagedPartition();
        using var memory = new GuestMemory();
        using var otherMemory = new GuestMemory();
        using ManagedMemory broken = Add("broken", memory, partition), other = Add("other", otherMemory, new ManagedPartition());
        Fill(memory);
        Fill(otherMemory);
        partition.Refusal = new IOException("The kernel refused to protect guest memory: out of memory.");
        for (int i = 0; i < 20; i++)
        {
            Pass();
        }

        Assert.Contains("kernel refused", Assert.Single(_failures).Message, StringComparison.Ordinal);
        Assert.True(broken.HasFailed);
        Assert.True(other.Pages!.Statistics.SwapOuts > 0, $"{other.Pages.Statistics}");
        CheckContent(otherMemory);
    }

    [SmallDiskFact]
    public void A_swap_disk_that_is_full_now_and_then_is_told_of_once_and_nothing_is_lost()
    {
        using var disk = new SmallDisk(8 << 20);
        string filler = Path.Combine(disk.Folder, "filler");
        File.WriteAllBytes(filler, new byte[7 << 20]);
        _source.Publish(new MemoryConfiguration { BudgetBytes = 12 * Megabyte });
        using var memory = new GuestMemory();
        using ManagedMemory machine = Add("m", memory, new ManagedPartition(), disk.Folder);
        Fill(memory);
        byte[] page = new byte[PageBytes];
        for (int i = 0; i < 300; i++)
        {
            // Pages that come back make a little room, which the next ones take.
            for (int n = 0; n < 20; n++)
            {
                Assert.True(memory.TryRead((ulong)(((i * 20) + n) % 4096) * PageBytes, page));
            }

            Pass(MemoryManager.Second / 10);
        }

        Assert.Equal(MachineEventSeverity.Warning, Assert.Single(_events).Severity);
        Assert.Contains("No space left", _events[0].Message, StringComparison.Ordinal);
        File.Delete(filler);
        for (int i = 0; i < 60; i++)
        {
            Pass();
        }

        Assert.Equal(["Memory can be swapped out again."], _events.Skip(1).Select(static happened => happened.Message));
        Assert.True(_manager.Statistics().UsedBytes <= 12 * Megabyte, $"{_manager.Statistics().UsedBytes}");
        CheckContent(memory);
        Assert.Empty(_failures);
    }

    [Fact]
    public void A_machine_that_waits_at_its_own_limit_is_told_so()
    {
        using var memory = new GuestMemory();
        _source.Publish(new MemoryConfiguration { BudgetBytes = 40 * Megabyte });
        using ManagedMemory machine = Add("m", memory, new ManagedPartition());
        Fill(memory);
        _source.Publish(new MemoryConfiguration
        {
            BudgetBytes = 40 * Megabyte,
            Machines = new Dictionary<Guid, MachineMemoryPlan> { [machine.Id] = machine.Plan with { LimitBytes = 6 * Megabyte } },
        });
        _manager.Decide();
        Fill(memory);
        machine.Pages!.Blocked!("there is no room for the swap file.");
        Assert.Equal(
            "The machine waits for memory: it has reached its limit of 6 MB, and none of its own can be taken (there is no room for the swap file). Raise the limit, or make room for swap files.",
            Assert.Single(_events).Message);
    }

    [Fact]
    public void A_budget_may_fall_below_what_is_in_use_and_rise_again()
    {
        using var memory = new GuestMemory();
        _source.Publish(new MemoryConfiguration { BudgetBytes = 40 * Megabyte });
        using ManagedMemory machine = Add("m", memory, new ManagedPartition());
        Fill(memory);
        foreach (int budget in new[] { 4, 40, 8, 3, 64 })
        {
            _source.Publish(new MemoryConfiguration { BudgetBytes = budget * Megabyte });
            for (int i = 0; i < 60; i++)
            {
                Pass();
            }

            var now = _manager.Statistics();
            Assert.True(now.UsedBytes <= now.BudgetBytes, $"{now.UsedBytes} of {now.BudgetBytes}");
            Assert.Equal(_manager.CountedPages, machine.Pages!.Statistics.Private);
        }

        CheckContent(memory);
    }

    [Fact]
    public void Machines_that_come_and_go_while_memory_is_taken_leave_nothing_behind()
    {
        _source.Publish(new MemoryConfiguration { BudgetBytes = 8 * Megabyte });
        using var manager = new MemoryManager(_source);
        for (int i = 0; i < 20; i++)
        {
            using var memory = new GuestMemory();
            using ManagedMemory machine = Add("m", memory, new ManagedPartition(), manager: manager);
            Fill(memory);
            manager.DecideSoon();
            if (i % 4 == 0)
            {
                MockVirtioDriver.WaitFor(() => machine.Pages!.Statistics.SwapOuts > 0);
            }
        }

        Assert.Equal(0, manager.CountedPages);
        Assert.Empty(Directory.GetFiles(_folder));
        var statistics = manager.Statistics();
        Assert.Equal((0, 0, 0), (statistics.Machines.Count, statistics.SharedFrames, statistics.SharedPages));
        Assert.Empty(_failures);
    }

    [Theory]
    [InlineData(Lie.NeverAnswers)]
    [InlineData(Lie.ClaimsWithoutGiving)]
    [InlineData(Lie.ClaimsMoreThanThereIs)]
    [InlineData(Lie.TakesBackAtOnce)]
    [InlineData(Lie.GivesTheSameAgain)]
    [InlineData(Lie.GivesWhatIsNotMemory)]
    [InlineData(Lie.GivesWhatDevicesUse)]
    public void What_a_balloon_driver_that_lies_does_not_give_is_compressed_and_swapped(Lie lie)
    {
        const int FirstPage = 1024, Pages = 3072;
        _source.Publish(new MemoryConfiguration { BudgetBytes = 10 * Megabyte });
        ManagedMemory? machine = null;
        VirtioBalloon? balloon = null;
        var driver = new MockVirtioDriver(memory =>
        {
            machine = Add("m", memory, new ManagedPartition());
            machine.Balloon = balloon = new VirtioBalloon(memory, new ManualMachineClock(), TimeSpan.Zero);
            return balloon;
        });
        using (machine)
        using (driver)
        {
            driver.Start();
            byte[] page = new byte[PageBytes];
            for (int i = 0; i < Pages; i++)
            {
                Write(FirstPage + i);
            }

            bool pins = lie == Lie.GivesWhatDevicesUse;
            Assert.True(!pins || driver.Memory.TryPin(FirstPage * PageBytes, 256 * PageBytes, forWriting: true, out _));
            ulong list = driver.Allocate(PageBytes);
            var given = new HashSet<int>();
            for (int second = 0; second < 40; second++)
            {
                Pass();
                uint target = balloon!.TargetPages;
                Assert.InRange(target, 0u, 4096u);
                switch (lie)
                {
                    case Lie.ClaimsWithoutGiving:
                        Claim(target);
                        break;

                    case Lie.ClaimsMoreThanThereIs:
                        Claim(uint.MaxValue);
                        break;

                    case Lie.TakesBackAtOnce:
                        Give([.. Enumerable.Range(0, 256).Select(n => (uint)(FirstPage + (((second * 256) + n) % Pages)))]);
                        for (int n = 0; n < 256; n++)
                        {
                            Write(FirstPage + (((second * 256) + n) % Pages));
                        }

                        Claim(target);
                        break;

                    case Lie.GivesTheSameAgain:
                        given.UnionWith(Enumerable.Range(FirstPage, 16));
                        Give([.. Enumerable.Range(0, 1024).Select(static n => (uint)(FirstPage + (n % 16)))]);
                        Claim(target);
                        break;

                    case Lie.GivesWhatIsNotMemory:
                        Give([.. Enumerable.Range(0, 1024).Select(static n => uint.MaxValue - ((uint)n * 1000))]);
                        Claim(target);
                        break;

                    case Lie.GivesWhatDevicesUse:
                        Give([.. Enumerable.Range(0, 256).Select(static n => (uint)(FirstPage + n))]);
                        Claim(target);
                        break;
                }
            }

            if (pins)
            {
                driver.Memory.Unpin(FirstPage * PageBytes, 256 * PageBytes);
            }

            var statistics = machine!.Pages!.Statistics;
            var host = _manager.Statistics();
            Assert.True(host.UsedBytes <= host.BudgetBytes, $"{host.UsedBytes} bytes are in use. {statistics}");
            Assert.True(statistics.SwapOuts > 0, $"{statistics}");
            Assert.Equal(statistics.Pages, statistics.Private + statistics.Shared + statistics.Compressed + statistics.Swapped + statistics.Untouched);
            Assert.Equal(statistics.Private, _manager.CountedPages);
            for (int i = FirstPage; i < FirstPage + Pages; i++)
            {
                Assert.True(driver.Memory.TryRead((ulong)i * PageBytes, page));
                Assert.Equal(given.Contains(i) ? new byte[PageBytes] : Noise(i), page);
            }

            Assert.Empty(_failures);

            void Write(int number) => Assert.True(driver.Memory.TryWrite((ulong)number * PageBytes, Noise(number)));

            void Claim(uint pages) => driver.Bus.WriteMmio(driver.DeviceConfig + 4, 4, pages);

            void Give(uint[] numbers)
            {
                byte[] bytes = new byte[numbers.Length * 4];
                for (int n = 0; n < numbers.Length; n++)
                {
                    BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(n * 4), numbers[n]);
                }

                Assert.True(driver.Memory.TryWrite(list, bytes));
                driver.Request(0, (list, (uint)bytes.Length, false));
            }
        }
    }

    private static byte[] Noise(int number)
    {
        byte[] page = new byte[PageBytes];
        new Random(number).NextBytes(page);
        return page;
    }

    private static void Fill(GuestMemory memory)
    {
        for (int page = 0; page < (int)(memory.TotalBytes / PageBytes); page++)
        {
            Assert.True(memory.TryWrite((ulong)page * PageBytes, Noise(page)));
        }
    }

    private static void CheckContent(GuestMemory memory)
    {
        byte[] page = new byte[PageBytes];
        for (int number = 0; number < (int)(memory.TotalBytes / PageBytes); number++)
        {
            Assert.True(memory.TryRead((ulong)number * PageBytes, page));
            Assert.Equal(Noise(number), page);
        }
    }

    private void Pass(long time = MemoryManager.Second)
    {
        _now += time;
        _manager.Decide();
    }

    private ManagedMemory Add(string name, GuestMemory memory, ManagedPartition partition, string? folder = null, MemoryManager? manager = null)
    {
        if (memory.TotalBytes == 0)
        {
            memory.AddBlock(0, 16 << 20);
        }

        var id = Guid.NewGuid();
        return (manager ?? _manager).Add(new ManagedMemoryOptions
        {
            Id = id,
            Name = name,
            Memory = memory,
            Partition = partition,
            Plan = new MachineMemoryPlan { MemoryBytes = (long)memory.TotalBytes },
            SwapPath = Path.Combine(folder ?? _folder, $"{id}.vswp"),
            OverheadBytes = 0,
            Raise = _events.Add,
            Failed = _failures.Add,
        });
    }

    /// <summary>Compresses nothing, and tells of each attempt.</summary>
    private sealed unsafe class WatchedCompressor : PageCompressor
    {
        private int _calls;

        public Action<int>? Called { get; set; }

        public override PageCompression Method => PageCompression.Brotli;

        public override string Description => "none";

        public override int Compress(Workspace workspace, byte* destination, int capacity)
        {
            Called?.Invoke(++_calls);
            return 0;
        }

        public override bool Decompress(Workspace workspace, byte* source, int length, byte* page) => false;
    }
}
