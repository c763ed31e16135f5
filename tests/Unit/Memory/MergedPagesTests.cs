using System.Diagnostics;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native.Memory;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>Guest memory that the host's kernel merges with equal pages while it is taken.</summary>
public sealed class MergedPagesTests
{
    private const ReclaimMethods All = ReclaimMethods.Share | ReclaimMethods.Compress | ReclaimMethods.Swap;

    // Fewer than the kernel usually puts into one frame (max_page_sharing).
    private const int Count = 192;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    [KsmFact]
    public void Pages_that_the_kernel_merges_count_as_shared_and_take_no_memory_until_they_are_stored_to()
    {
        using var merging = new KernelMerging();
        using MappedMachine machine = Filled();
        machine.Pages.CountPresent();
        Assert.Equal((Count, 0, Count), (machine.Pages.Statistics.Private, machine.Pages.Statistics.Shared, machine.Meter.Used));
        machine.Pages.Offer(true);
        UntilMerged(machine, Count);
        var statistics = machine.Pages.Statistics;
        Assert.Equal((0, Count, 0, 0), (statistics.Private, statistics.Shared, statistics.ConsumedBytes, machine.Meter.Used));
        for (int page = 0; page < 10; page++)
        {
            machine[page] = (ulong)page;
        }

        machine.Pages.CountPresent();
        Assert.Equal((10, Count - 10, 10), (machine.Pages.Statistics.Private, machine.Pages.Statistics.MergedByHost, machine.Meter.Used));
        machine.Pages.Offer(false);
        machine.Pages.CountPresent();
        Assert.Equal((Count, 0, Count), (machine.Pages.Statistics.Private, machine.Pages.Statistics.MergedByHost, machine.Meter.Used));
        machine.Dispose();
        Assert.Equal(0, machine.Meter.Used);
    }

    [KsmFact]
    public void What_is_stored_to_a_page_that_lost_its_protection_by_merging_while_it_was_taken_is_not_lost()
    {
        using var merging = new KernelMerging(isOn: false);
        using var disk = new Interlude();
        using MappedMachine machine = Filled(disk);
        machine.Pages.Offer(true);
        disk.Written = () =>
        {
            // All was copied, and is protected; the kernel merges it, and stores are heard of no more.
            disk.Written = null;
            KernelMerging.Turn(on: true);
            Until(() => Merged(machine) == Count);
            for (int page = 0; page < Count; page += 2)
            {
                machine[page, 8] = (ulong)page + 1;
            }

            // The one that the others were merged into has kept its protection.
            Assert.True(Enumerable.Range(0, Count).Count(page => page % 2 == 0 && machine.Pages.EntryOf(page).IsWatched) > Count / 4);
        };
        machine.Pages.Reclaim(Count, All, urgent: true);
        Assert.Null(disk.Written);
        for (int page = 0; page < Count; page++)
        {
            Assert.Equal((page, page % 2 == 0 ? (ulong)page + 1 : Fill), (page, machine[page, 8]));
            Assert.Equal(Fill, machine[page, 4088]);
        }
    }

    [KsmFact]
    public void What_is_stored_to_a_page_that_lost_its_protection_is_not_lost_by_a_hint()
    {
        using var merging = new KernelMerging(isOn: false);
        using MappedMachine machine = Filled();
        machine.Pages.Offer(true);
        machine.Pages.BeginHinting();
        KernelMerging.Turn(on: true);
        Until(() => Merged(machine) == Count);
        KernelMerging.Turn(on: false);
        for (int page = 0; page < Count; page += 2)
        {
            for (int offset = 0; offset < 4096; offset += 8)
            {
                machine[page, offset] = page % 4 == 0 ? 0 : (ulong)page;
            }
        }

        Assert.InRange(machine.Memory.ReleaseHinted([new PageRange(0, Count)]) / 4096, 1, Count / 4);
        for (int page = 0; page < Count; page++)
        {
            Assert.Equal((page, page % 4 == 0 ? 0 : page % 2 == 0 ? (ulong)page : Fill), (page, machine[page, 4088]));
        }
    }

    [UserFaultFact]
    public void A_hinted_page_that_a_processor_stored_to_is_as_it_left_it()
    {
        using MappedMachine machine = Filled();
        machine.Pages.BeginHinting();
        for (int page = 0; page < Count; page += 3)
        {
            machine[page, 8] = (ulong)page;
        }

        Assert.Equal(Count - (Count / 3), machine.Pages.ReleaseHinted([new PageRange(0, Count)]));
        for (int page = 0; page < Count; page++)
        {
            Assert.Equal((page, page % 3 == 0 ? (ulong)page : 0), (page, machine[page, 8]));
            Assert.Equal(page % 3 == 0 ? Fill : 0, machine[page, 16]);
        }
    }

    [KsmFact]
    public void Merged_pages_are_taken_last()
    {
        const int Own = 32, Last = 8;
        using var merging = new KernelMerging();
        using var disk = new MemoryStorage();
        using MappedMachine machine = Filled(disk);
        machine.Pages.Offer(true);
        UntilMerged(machine, Count);
        KernelMerging.Turn(on: false);
        for (int page = 0; page < Own; page++)
        {
            machine[page * 4, 16] = (ulong)page;
        }

        Assert.Equal(Own, machine.Pages.Reclaim(Own, All, urgent: true));
        Assert.All(Enumerable.Range(0, Own), page => Assert.Equal(PageState.Swapped, machine.Pages.EntryOf(page * 4).State));

        // Nothing else is left. The last one in each of the kernel's frames is not to be had at once.
        Assert.InRange(machine.Pages.Reclaim(Count - Own, All, urgent: true), Count - Own - Last, Count - Own);
        for (int page = 0; page < Count; page++)
        {
            Assert.Equal(page % 4 == 0 && page / 4 < Own ? (ulong)page / 4 : Fill, machine[page, 16]);
        }
    }

    [KsmFact]
    public void Pages_that_are_stored_to_merged_and_taken_at_once_keep_what_was_stored()
    {
        const int Writers = 2, Rounds = 60, Returns = 2000;
        using var merging = new KernelMerging();
        using var disk = new MemoryStorage();
        using MappedMachine machine = Filled(disk, cacheBytes: 64 << 10);
        machine.Pages.Offer(true);
        using var ended = new CancellationTokenSource();
        Task taker = Task.Run(() =>
        {
            while (!ended.IsCancellationRequested)
            {
                machine.Pages.Reclaim(Count / 4, All, urgent: true);
            }
        });

        // Each has pages of its own, all equal for a while, so that the kernel merges them again and again.
        Task[] writers = [.. Enumerable.Range(0, Writers).Select(writer => Task.Run(() =>
        {
            for (ulong round = 1; round <= Rounds || Returned() < Returns; round++)
            {
                for (int page = writer; page < Count; page += Writers)
                {
                    Assert.Equal((page, round == 1 ? Fill : round - 1), (page, machine[page, 256]));
                    machine[page, 256] = round;
                }
            }
        }))];
        try
        {
            Assert.True(Task.WaitAll(writers, Patience));
        }
        finally
        {
            ended.Cancel();
            taker.Wait();
        }

        long Returned() => machine.Pages.Statistics.SwapIns + machine.Pages.Statistics.Decompressions;
    }

    private const ulong Fill = 0x5A5A_0123_4567_89AB;

    private static MappedMachine Filled(SwapStorage? swap = null, long cacheBytes = 0)
    {
        var machine = new MappedMachine(Count, swap, cacheBytes);
        for (int page = 0; page < Count; page++)
        {
            for (int offset = 0; offset < 4096; offset += 8)
            {
                machine[page, offset] = Fill;
            }
        }

        return machine;
    }

    private static void UntilMerged(MappedMachine machine, int pages) => Until(() =>
    {
        machine.Pages.CountPresent();
        return machine.Pages.Statistics.MergedByHost >= pages;
    });

    private static unsafe long Merged(MappedMachine machine)
    {
        using var map = new PageMap();
        return map.CountShared((nint)machine.Pages.HomeOf(0), Count);
    }

    private static void Until(Func<bool> condition)
    {
        for (var start = Stopwatch.StartNew(); !condition();)
        {
            Assert.True(start.Elapsed < Patience);
            Thread.Sleep(5);
        }
    }

    /// <summary>A swap disk on which something happens between the copying of pages and their end.</summary>
    private sealed unsafe class Interlude : SwapStorage
    {
        private readonly MemoryStorage _storage = new();

        public Action? Written { get; set; }

        public override long Read(byte* buffer, int length, long offset) => _storage.Read(buffer, length, offset);

        public override long Write(byte* buffer, int length, long offset)
        {
            Written?.Invoke();
            return _storage.Write(buffer, length, offset);
        }

        public override bool Punch(long offset, long length) => _storage.Punch(offset, length);

        public override bool IsNoRoom(long error) => _storage.IsNoRoom(error);

        public override string Describe(long error) => _storage.Describe(error);

        public override void Dispose() => _storage.Dispose();
    }
}
