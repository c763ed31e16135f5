using System.Collections.Concurrent;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>Pages that a guest said were free, and may use again before anybody looks at what it said.</summary>
public sealed class HintedPagesTests
{
    private const ReclaimMethods All = ReclaimMethods.Share | ReclaimMethods.Compress | ReclaimMethods.Swap;

    // By the content that PagedMachine makes of it: not zero, does not compress.
    private const ulong Noise = 3;

    [Fact]
    public void What_nobody_used_since_goes_wherever_it_is()
    {
        const int Count = 64;
        using var machine = new PagedMachine(Count, swap: new MemoryStorage(), cacheBytes: 20 * 4096);
        for (int page = 0; page < Count; page++)
        {
            machine.Fill(page, (ulong)page);
        }

        // The last of them stay untouched, and a part of the rest is elsewhere.
        machine.Pages.Release([Range(machine, 60, 4)]);
        Assert.InRange(machine.Pages.Reclaim(40, All, urgent: true), 1, 40);
        var before = machine.Pages.Statistics;
        Assert.True(before is { Compressed: > 0, Swapped: > 0, Shared: > 0, Private: > 0 }, $"{before}");
        machine.Pages.BeginHinting();
        Assert.Equal(60, machine.Pages.ReleaseHinted([Range(machine, 0, 32), Range(machine, 32, 32)]));
        Assert.Equal((Count, before.Released + 60, 0), (machine.Pages.Statistics.Untouched, machine.Pages.Statistics.Released, machine.Meter.Used));
        Assert.All(Enumerable.Range(0, Count), page => Assert.Equal(0ul, machine.Load(page, 4088)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_was_used_since_stays_even_when_it_is_watched_again(bool byDevice)
    {
        const int Count = 32;
        using var machine = new PagedMachine(Count);
        for (int page = 0; page < Count; page++)
        {
            machine.Fill(page, Noise);
        }

        machine.Pages.BeginHinting();
        for (int page = 0; page < Count; page += 2)
        {
            if (byDevice)
            {
                Assert.True(machine.Memory.TryWrite(machine.AddressOf(page), (ulong)page));
            }
            else
            {
                machine.Store(page, 0, (ulong)page);
            }
        }

        machine.Pages.Watch(Count);
        Assert.All(Enumerable.Range(0, Count), page => Assert.True(machine.Pages.EntryOf(page).IsWatched));
        Assert.Equal(Count / 2, machine.Pages.ReleaseHinted([Range(machine, 0, Count / 2), Range(machine, Count / 2, Count / 2)]));
        for (int page = 0; page < Count; page++)
        {
            Assert.Equal(page % 2 == 0 ? (ulong)page : 0, machine.Load(page, 0));
            Assert.Equal(page % 2 == 0 ? PagedMachine.Content(Noise, 8) : 0, machine.Load(page, 8));
        }
    }

    [Fact]
    public void Before_anybody_asked_only_zeroes_go()
    {
        using var machine = new PagedMachine(4);
        machine.Fill(0, Noise);
        machine.Fill(1, 0);
        machine.Pages.Watch(4);
        Assert.Equal(1, machine.Pages.ReleaseHinted([Range(machine, 0, 2)]));
        Assert.Equal((PageState.Private, PageState.Untouched), (machine.Pages.EntryOf(0).State, machine.Pages.EntryOf(1).State));
        Assert.Equal(PagedMachine.Content(Noise, 16), machine.Load(0, 16));
    }

    [Fact]
    public void A_page_that_was_cleared_since_goes()
    {
        using var machine = new PagedMachine(4);
        machine.Fill(0, Noise);
        machine.Pages.BeginHinting();
        machine.Fill(0, 0);
        Assert.Equal(1, machine.Pages.ReleaseHinted([Range(machine, 0, 1)]));
        Assert.Equal(PageState.Untouched, machine.Pages.EntryOf(0).State);
    }

    [Fact]
    public void A_page_that_a_device_has_stays()
    {
        using var machine = new PagedMachine(4);
        machine.Fill(0, Noise);
        machine.Fill(1, 0);
        Assert.True(machine.Memory.TryPin(machine.AddressOf(0), 8192, forWriting: false, out _));
        machine.Pages.BeginHinting();
        Assert.Equal(0, machine.Pages.ReleaseHinted([Range(machine, 0, 2)]));
        machine.Memory.Unpin(machine.AddressOf(0), 8192);
        Assert.Equal(PagedMachine.Content(Noise, 16), machine.Load(0, 16));
    }

    [Fact]
    public void What_is_no_memory_is_ignored()
    {
        using var machine = new PagedMachine(4);
        machine.Pages.BeginHinting();
        Assert.Equal(0, machine.Memory.ReleaseHinted([new PageRange(0xF_F000_0000, 1), new PageRange(ulong.MaxValue & ~4095ul, uint.MaxValue), new PageRange(0x7000_0000, 5)]));
    }

    // Threads are a guest: each has pages of its own, names some of them after it was asked, and uses them again whenever it likes.
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void A_guest_that_uses_what_it_hinted_loses_nothing_that_it_stored(int seed)
    {
        const int Count = 256, Threads = 3, Steps = 5000, MostSteps = 1000 * Steps;
        using var machine = new PagedMachine(Count, swap: new MemoryStorage(), cacheBytes: 20 * 4096);
        var hints = new ConcurrentQueue<(int Round, int Page)>();
        var failures = new ConcurrentQueue<Exception>();
        var random = new Random(seed);
        int asked = 0, done = 0;
        long released = 0;
        Thread[] threads = [.. Enumerable.Range(0, Threads).Select(number => new Thread(() =>
        {
            try
            {
                Use(number);
            }
            catch (Exception error)
            {
                failures.Enqueue(error);
            }
            finally
            {
                Interlocked.Increment(ref done);
            }
        }))];
        Array.ForEach(threads, static thread => thread.Start());
        for (int round = 1; Volatile.Read(ref done) < Threads; round++)
        {
            machine.Pages.BeginHinting();
            Volatile.Write(ref asked, round);
            for (int step = random.Next(6); step >= 0; step--)
            {
                switch (random.Next(4))
                {
                    case 0:
                        machine.Pages.Watch(random.Next(Count));
                        break;
                    case 1:
                        machine.Pages.Reclaim(random.Next(Count / 4), All, urgent: true);
                        break;
                    case 2:
                        machine.Pages.Share(Count);
                        break;
                    default:
                        machine.Pages.NextSample(random.Next(50));
                        break;
                }

                while (hints.TryDequeue(out var hint))
                {
                    if (hint.Round == round)
                    {
                        Interlocked.Add(ref released, machine.Pages.ReleaseHinted([Range(machine, hint.Page, 1)]));
                    }
                }
            }
        }

        Array.ForEach(threads, static thread => thread.Join());
        Assert.Empty(failures);
        Assert.True(released > 0);
        var statistics = machine.Pages.Statistics;
        Assert.Equal(Count, statistics.Private + statistics.Shared + statistics.Compressed + statistics.Swapped + statistics.Untouched);
        Assert.Equal(statistics.Private, machine.Meter.Used);

        void Use(int number)
        {
            var mine = new Random((seed * 100) + number);
            var contents = new ulong?[Count];
            Array.Fill(contents, 0ul);

            // On a busy host one may be done before anybody has looked at a hint.
            for (int step = 0; step < Steps || (Volatile.Read(ref released) == 0 && step < MostSteps); step++)
            {
                int page = (mine.Next(Count / Threads) * Threads) + number;
                switch (mine.Next(6))
                {
                    case 0:
                        ulong content = (ulong)mine.Next(40);
                        machine.Fill(page, content);
                        contents[page] = content;
                        break;

                    case 1 when Volatile.Read(ref asked) is > 0 and var round:
                        contents[page] = null;
                        hints.Enqueue((round, page));
                        break;

                    default:
                        int offset = mine.Next(512) * 8;
                        ulong found = machine.Load(page, offset);
                        if (contents[page] is { } known)
                        {
                            Assert.Equal((page, PagedMachine.Content(known, offset)), (page, found));
                        }

                        break;
                }
            }
        }
    }

    private static PageRange Range(PagedMachine machine, int page, uint pages) => new(machine.AddressOf(page), pages);
}
