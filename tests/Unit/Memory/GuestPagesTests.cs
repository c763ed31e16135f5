using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native.Memory;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Memory;

public sealed class GuestPagesTests
{
    private const ReclaimMethods All = ReclaimMethods.Share | ReclaimMethods.Compress | ReclaimMethods.Swap;

    [Fact]
    public void A_machine_that_was_not_run_takes_no_memory()
    {
        using var machine = new PagedMachine(1000);
        Assert.Equal(1000, machine.Pages.Statistics.Untouched);
        Assert.Equal(0, machine.Pages.Statistics.ConsumedBytes);
        Assert.Equal(0ul, machine.Load(500, 8));
        Assert.Equal(1000, machine.Pages.Statistics.Untouched);
        machine.Store(500, 8, 1);
        Assert.Equal(1, machine.Pages.Statistics.Private);
        Assert.Equal(4096, machine.Pages.Statistics.ConsumedBytes);
        Assert.Equal(1, machine.Meter.Used);
    }

    [Fact]
    public void Idle_pages_are_taken_and_come_back_as_they_were()
    {
        using var machine = new PagedMachine(400, swap: new MemoryStorage());
        for (int page = 0; page < 400; page++)
        {
            machine.Fill(page, (ulong)page);
        }

        machine.Pages.Watch(400);
        Assert.Equal(400, machine.Pages.Reclaim(400, All, urgent: false));
        var statistics = machine.Pages.Statistics;
        Assert.Equal(0, statistics.Private);
        Assert.Equal(100, statistics.SharedZero);
        Assert.True(statistics.Compressed > 20, $"{statistics.Compressed} compressed");
        Assert.True(statistics.Swapped >= 100, $"{statistics.Swapped} swapped");
        Assert.Equal(TimeSpan.Zero, statistics.WaitedTime);
        for (int page = 0; page < 400; page++)
        {
            for (int offset = 0; offset < 4096; offset += 512)
            {
                Assert.Equal(PagedMachine.Content((ulong)page, offset), machine.Load(page, offset));
            }
        }

        Assert.Equal(100, machine.Pages.Statistics.SharedZero);
        Assert.Equal(300, machine.Pages.Statistics.Private);
        Assert.True(machine.Pages.Statistics.WaitedTime > TimeSpan.Zero);
    }

    [Fact]
    public void A_page_in_use_is_not_taken_unless_it_is_urgent()
    {
        using var machine = new PagedMachine(100, swap: new MemoryStorage());
        for (int page = 0; page < 100; page++)
        {
            machine.Fill(page, 3 + ((ulong)page * 4));
        }

        Assert.Equal(0, machine.Pages.Reclaim(10, All, urgent: false));
        machine.Pages.Watch(100);
        for (int page = 0; page < 100; page += 2)
        {
            machine.Load(page, 0);
        }

        Assert.Equal(50, machine.Pages.Reclaim(100, All, urgent: false));
        for (int page = 0; page < 100; page++)
        {
            Assert.Equal(page % 2 == 0, machine.Pages.EntryOf(page).State == PageState.Private);
        }

        Assert.Equal(30, machine.Pages.Reclaim(30, All, urgent: true), 20.0);
    }

    [Fact]
    public void Pages_of_equal_content_share_a_frame_until_one_is_written()
    {
        using var frames = new SharedFrames();
        using var first = new PagedMachine(64, frames, number: 1);
        using var second = new PagedMachine(64, frames, number: 2);
        for (int page = 0; page < 64; page++)
        {
            first.Fill(page, 7 + (ulong)(page / 32 * 4));
            second.Fill(page, 7 + (ulong)(page / 32 * 4));
        }

        // The first time round contents are remembered; the second finds their twins.
        foreach (var machine in new[] { first, second, first, second })
        {
            machine.Pages.Share(64);
        }

        Assert.Equal(128, first.Pages.Statistics.Shared + second.Pages.Statistics.Shared);
        Assert.Equal(2, frames.Statistics.Frames);
        first.Store(5, 16, 99);
        Assert.Equal(99ul, first.Load(5, 16));
        Assert.Equal(PagedMachine.Content(7, 16), first.Load(6, 16));
        Assert.Equal(PagedMachine.Content(7, 16), second.Load(5, 16));
        Assert.Equal(1, first.Pages.Statistics.SharedCopies);
        Assert.Equal(127, frames.Statistics.References);
    }

    [Fact]
    public void Content_that_is_taken_for_the_second_time_is_shared_by_all_that_have_it()
    {
        using var frames = new SharedFrames();
        using var first = new PagedMachine(32, frames, new MemoryStorage(), number: 1);
        using var second = new PagedMachine(32, frames, new MemoryStorage(), number: 2);
        foreach (var machine in new[] { first, second })
        {
            for (int page = 0; page < 32; page++)
            {
                // Noise: nothing that would be compressed instead.
                machine.Fill(page, 3 + (ulong)(page / 8 * 4));
            }

            machine.Pages.Watch(32);
        }

        // Of each content the first page is swapped, the second becomes the frame (which frees nothing), and the others refer to it.
        Assert.Equal(32 - 4, first.Pages.Reclaim(32, All, urgent: false));
        Assert.Equal(32, second.Pages.Reclaim(32, All, urgent: false));
        Assert.Equal(4, frames.Statistics.Frames);
        Assert.Equal(64 - 4, first.Pages.Statistics.Shared + second.Pages.Statistics.Shared);
        Assert.Equal(4, first.Pages.Statistics.Swapped);
        for (int page = 0; page < 32; page++)
        {
            ulong content = PagedMachine.Content(3 + (ulong)(page / 8 * 4), 24);
            Assert.Equal((content, content), (first.Load(page, 24), second.Load(page, 24)));
        }
    }

    [Fact]
    public void A_pinned_page_stays_where_it_is()
    {
        using var machine = new PagedMachine(32, swap: new MemoryStorage());
        for (int page = 0; page < 32; page++)
        {
            machine.Fill(page, 3 + ((ulong)page * 4));
        }

        Assert.True(machine.Memory.TryPin(2 * 4096, 8192, forWriting: true, out nint pointer));
        machine.Pages.Watch(32);
        Assert.Equal(30, machine.Pages.Reclaim(32, All, urgent: true));
        Assert.Equal(0, machine.Pages.Release([new PageRange(2 * 4096, 2)]));
        Assert.Equal(PageState.Private, machine.Pages.EntryOf(3).State);
        unsafe
        {
            Assert.Equal(PagedMachine.Content(3 + 8, 0), *(ulong*)pointer);
        }

        machine.Memory.Unpin(2 * 4096, 8192);
        machine.Pages.Watch(32);
        Assert.Equal(2, machine.Pages.Reclaim(32, All, urgent: true));
    }

    [Fact]
    public void A_device_brings_back_what_it_reads()
    {
        using var machine = new PagedMachine(32, swap: new MemoryStorage());
        for (int page = 0; page < 32; page++)
        {
            machine.Fill(page, (ulong)page);
        }

        machine.Pages.Watch(32);
        Assert.Equal(32, machine.Pages.Reclaim(32, All, urgent: true));
        byte[] content = new byte[16 * 4096];
        Assert.True(machine.Memory.TryRead(0, content));
        for (int at = 0; at < content.Length; at += 8)
        {
            Assert.Equal(PagedMachine.Content((ulong)(at / 4096), at % 4096), BitConverter.ToUInt64(content, at));
        }

        Assert.True(machine.Memory.TryWrite(PagedMachine.HighMemory + 4096 + 8, 5ul));
        Assert.Equal(5ul, machine.Load(17, 8));
        Assert.Equal(PagedMachine.Content(17, 16), machine.Load(17, 16));
    }

    [Fact]
    public void Pages_given_back_read_as_zeroes()
    {
        using var machine = new PagedMachine(64, swap: new MemoryStorage());
        for (int page = 0; page < 64; page++)
        {
            machine.Fill(page, (ulong)page);
        }

        machine.Pages.Watch(16);
        machine.Pages.Reclaim(16, All, urgent: false);
        Assert.Equal(32, machine.Pages.Release([new PageRange(0, 40), new PageRange(0x5000_0000, 7), new PageRange(0xF_F000_0000, 1)]));
        for (int page = 0; page < 64; page++)
        {
            Assert.Equal(page < 32 ? 0 : PagedMachine.Content((ulong)page, 8), machine.Load(page, 8));
        }

        Assert.Equal(32, machine.Pages.Statistics.Released);
        Assert.Equal(0, machine.Pages.Release([new PageRange(0, 32)]));
    }

    [Fact]
    public void Of_pages_given_back_together_those_a_device_has_stay()
    {
        // More than the large pages that they would be in, and neither begins nor ends with one.
        const int Count = 2000;
        using var machine = new PagedMachine(Count, swap: new MemoryStorage());
        for (int page = 0; page < Count; page++)
        {
            machine.Fill(page, page % 100 < 3 ? 7 : (ulong)page);
        }

        machine.Pages.Share(Count);
        machine.Pages.Watch(300);
        machine.Pages.Reclaim(300, All, urgent: false);
        int[] pinned = [5, 511, 512, 700, 701, 1023, 1890];
        Assert.All(pinned, page => Assert.True(machine.Memory.TryPin(machine.AddressOf(page), 4096, forWriting: true, out _)));
        var ranges = new PageRange[] { new(machine.AddressOf(3), 900), new(machine.AddressOf(903), 90), new(machine.AddressOf(1000), 897) };
        var released = Enumerable.Range(3, 990).Concat(Enumerable.Range(1000, 897)).Except(pinned).ToHashSet();
        Assert.Equal(released.Count, machine.Pages.Release(ranges));
        Assert.All(pinned, page => machine.Memory.Unpin(machine.AddressOf(page), 4096));
        for (int page = 0; page < Count; page++)
        {
            Assert.Equal(released.Contains(page) ? 0 : PagedMachine.Content(page % 100 < 3 ? 7 : (ulong)page, 8), machine.Load(page, 8));
        }

        Assert.Equal(Enumerable.Range(0, Count).Count(page => machine.Pages.EntryOf(page).State == PageState.Private), machine.Pages.Statistics.Private);
        Assert.Equal(machine.Pages.Statistics.Private, machine.Meter.Used);
    }

    [Fact]
    public void A_full_swap_disk_loses_nothing_and_is_used_again_when_there_is_room()
    {
        var disk = new MemoryStorage { IsFull = true };
        using var machine = new PagedMachine(600, swap: disk, cacheBytes: 0);
        for (int page = 0; page < 600; page++)
        {
            machine.Fill(page, 3 + ((ulong)page * 4));
        }

        Assert.Equal(0, machine.Pages.Reclaim(600, All, urgent: true));
        Assert.Contains("No space left", machine.Pages.SwapFailure, StringComparison.Ordinal);
        Assert.NotNull(machine.Pages.TestSwap());
        disk.IsFull = false;
        Assert.Null(machine.Pages.TestSwap());
        Assert.Equal(600, machine.Pages.Reclaim(600, All, urgent: true));
        for (int page = 0; page < 600; page++)
        {
            Assert.Equal(PagedMachine.Content(3 + ((ulong)page * 4), 1000), machine.Load(page, 1000));
        }
    }

    [Fact]
    public void What_was_compressed_first_makes_room_in_a_full_cache_for_what_is_compressed_now()
    {
        const int Count = 1200;
        using var machine = new PagedMachine(Count, swap: new MemoryStorage(), cacheBytes: 8 * 4096);
        for (int page = 0; page < Count; page++)
        {
            machine.Fill(page, ((ulong)page * 4) + (page % 3 == 0 ? 3u : 2u));
        }

        Assert.Equal(Count, machine.Pages.Reclaim(Count, All, urgent: true));
        var statistics = machine.Pages.Statistics;
        Assert.InRange(statistics.CompressedBytes, 1, 8 * 4096);
        Assert.True(statistics.Compressions > statistics.Compressed, "Nothing moved on to the swap file.");
        for (int page = 0; page < Count; page++)
        {
            for (int offset = 0; offset < 4096; offset += 512)
            {
                Assert.Equal(PagedMachine.Content(((ulong)page * 4) + (page % 3 == 0 ? 3u : 2u), offset), machine.Load(page, offset));
            }
        }
    }

    [LinuxFact]
    public void The_operating_system_gets_back_what_was_swapped()
    {
        const int Count = 16384;
        string path = Path.Combine(Path.GetTempPath(), $"{Guid.NewGuid()}.vswp");
        using var machine = new PagedMachine(Count, swap: FileSwapStorage.Create(path));
        byte[] noise = new byte[4096];
        for (int page = 0; page < Count; page++)
        {
            new Random(page).NextBytes(noise);
            Assert.True(machine.Memory.TryWrite(machine.AddressOf(page), noise));
        }

        Assert.Equal(Count, PagesThatAreThere());
        Assert.Equal(Count, machine.Pages.Reclaim(Count, All, urgent: true));
        Assert.Equal(0, PagesThatAreThere());
        for (int page = 0; page < Count; page += 100)
        {
            new Random(page).NextBytes(noise);
            byte[] found = new byte[4096];
            Assert.True(machine.Memory.TryRead(machine.AddressOf(page), found));
            Assert.Equal(noise, found);
        }

        long PagesThatAreThere()
        {
            using var map = new PageMap();
            long count = 0;
            foreach (var (_, host, bytes, _) in machine.Memory.Blocks.Where(static block => block.Writable))
            {
                map.Find(host, (long)bytes / 4096, _ => count++);
            }

            return count;
        }
    }

    [Fact]
    public void A_processor_waits_for_a_disk_that_cannot_be_read_and_goes_on_when_it_can()
    {
        var disk = new MemoryStorage();
        using var machine = new PagedMachine(8, swap: disk, cacheBytes: 0);
        machine.Fill(0, 3);
        Assert.Equal(1, machine.Pages.Reclaim(8, All, urgent: true));
        disk.FailsReading = true;
        machine.Pages.ReadFailed = reason =>
        {
            Assert.Contains("Input/output error", reason, StringComparison.Ordinal);
            disk.FailsReading = false;
        };
        machine.Pages.Blocked = static _ => Assert.Fail("There is memory; it is the disk that is waited for.");
        Assert.Equal(PagedMachine.Content(3, 0), machine.Load(0, 0));
        Assert.False(disk.FailsReading);
        Assert.Equal(TimeSpan.Zero, machine.Pages.Statistics.BlockedTime);
    }

    [Fact]
    public void A_machine_that_is_powered_off_waits_for_nothing()
    {
        var disk = new MemoryStorage();
        using var machine = new PagedMachine(8, swap: disk, cacheBytes: 0);
        machine.Fill(0, 3);
        Assert.Equal(1, machine.Pages.Reclaim(8, All, urgent: true));
        disk.FailsReading = true;
        machine.Pages.IsAbandoned = true;
        Assert.False(machine.Memory.TryRead(0, new byte[8]));
        Assert.True(machine.Pages.MakePresent(0, forWriting: false));
    }

    [Fact]
    public void For_devices_of_a_machine_that_is_powered_off_nothing_is_brought_back()
    {
        using var machine = new PagedMachine(8, swap: new MemoryStorage(), cacheBytes: 0);
        machine.Fill(0, 3);
        Assert.Equal(1, machine.Pages.Reclaim(8, All, urgent: true));
        machine.Pages.IsAbandoned = true;
        Assert.False(machine.Memory.TryRead(0, new byte[8]));
        machine.Pages.IsAbandoned = false;
        Assert.True(machine.Memory.TryRead(0, new byte[8]));
        machine.Pages.IsAbandoned = true;
        Assert.True(machine.Memory.TryRead(0, new byte[8]));
    }

    [Fact]
    public void With_its_ceiling_reached_a_machine_gives_a_page_for_each_it_takes()
    {
        using var machine = new PagedMachine(2000, swap: new MemoryStorage());
        machine.Pages.CeilingPages = 500;
        for (int page = 0; page < 2000; page++)
        {
            machine.Fill(page, 3 + ((ulong)page * 4));
            Assert.InRange(machine.Pages.PagesIn(PageState.Private), 0, 501);
        }

        for (int page = 0; page < 2000; page++)
        {
            Assert.Equal(PagedMachine.Content(3 + ((ulong)page * 4), 2000), machine.Load(page, 2000));
            Assert.InRange(machine.Pages.PagesIn(PageState.Private), 0, 501);
        }
    }

    [Theory]
    [InlineData(500)]
    [InlineData(40)]
    public void What_compressed_pages_take_counts_for_the_ceiling_too(int ceiling)
    {
        using var machine = new PagedMachine(2000, swap: new MemoryStorage());
        for (int page = 0; page < 2000; page++)
        {
            machine.Fill(page, 1 + (ulong)(page % 3) + ((ulong)page * 4));
        }

        machine.Pages.Reclaim(1900, All, urgent: true);
        Assert.True(machine.Pages.Statistics.CompressedBytes > 64 << 10, $"{machine.Pages.Statistics}");
        for (int round = 0; round < 10; round++)
        {
            machine.Pages.Bound(ceiling * 4096L, ceiling * 4096L);
            for (int page = 0; page < 2000; page++)
            {
                ulong seed = 1 + (ulong)(page % 3) + ((ulong)page * 4);
                Assert.Equal(PagedMachine.Content(seed, 2000), machine.Load(page, 2000));
            }
        }

        Assert.InRange(machine.Pages.Statistics.ConsumedBytes, 0, (ceiling + (ceiling / 8)) * 4096L);
    }

    [Fact]
    public void Without_room_to_swap_a_full_cache_leaves_half_of_the_ceiling()
    {
        using var machine = new PagedMachine(2000, swap: null, cacheBytes: 1 << 20);
        for (int page = 0; page < 2000; page++)
        {
            machine.Fill(page, 1 + ((ulong)page * 4));
        }

        machine.Pages.Reclaim(2000, All, urgent: true);
        long cached = machine.Pages.Statistics.CompressedBytes;
        machine.Pages.Bound(cached, cached);
        Assert.Equal(cached / 2 / 4096, machine.Pages.CeilingPages);
        machine.Pages.Bound(0, long.MaxValue);
        Assert.Equal((0, long.MaxValue), (machine.Pages.SparedPages, machine.Pages.CeilingPages));
    }

    [Fact]
    public void Where_memory_is_scarce_only_machines_with_more_than_they_are_spared_give_pages()
    {
        using var machine = new PagedMachine(200, swap: new MemoryStorage());
        machine.Meter.ScarceFrom = 100;
        int looks = 0;
        machine.Meter.Look = () => looks++;
        machine.Meter.LookFrom = 50;
        for (int page = 0; page < 200; page++)
        {
            machine.Fill(page, 3 + ((ulong)page * 4));
        }

        Assert.Equal(200, machine.Pages.PagesIn(PageState.Private));
        Assert.Equal(1, looks);
        machine.Pages.Reclaim(50, All, urgent: true);
        machine.Pages.SparedPages = 120;
        for (int page = 0; page < 200; page++)
        {
            machine.Load(page, 0);
        }

        Assert.InRange(machine.Pages.PagesIn(PageState.Private), 80, 151);
    }

    [Fact]
    public void A_sample_counts_the_pages_that_were_used()
    {
        using var machine = new PagedMachine(4000);
        for (int page = 0; page < 4000; page++)
        {
            machine.Fill(page, 3 + ((ulong)page * 4));
        }

        Assert.Equal((0, 0), machine.Pages.NextSample(200));
        for (int page = 0; page < 1000; page++)
        {
            machine.Load(page, 0);
        }

        var (touched, sampled) = machine.Pages.PeekSample();
        Assert.InRange(sampled, 190, 200);
        Assert.InRange(touched, 25, 80);
        Assert.Equal((touched, sampled), machine.Pages.NextSample(200));
        Assert.Equal(0, machine.Pages.NextSample(0).Touched);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Whatever_is_done_to_pages_while_processors_and_devices_use_them_nothing_is_lost(int seed)
    {
        const int Count = 512, Threads = 4, Steps = 6000;
        var disk = new MemoryStorage();
        using var frames = new SharedFrames();
        using var machine = new PagedMachine(Count, frames, disk, cacheBytes: 40 * 4096);
        var random = new Random(seed);
        int done = 0;
        var failures = new System.Collections.Concurrent.ConcurrentQueue<Exception>();
        var threads = Enumerable.Range(0, Threads).Select(number => new Thread(() =>
        {
            try
            {
                Use(machine, number, Threads, Count, Steps, seed);
            }
            catch (Exception error)
            {
                failures.Enqueue(error);
            }
            finally
            {
                Interlocked.Increment(ref done);
            }
        })).ToList();
        threads.ForEach(static thread => thread.Start());
        while (Volatile.Read(ref done) < Threads)
        {
            switch (random.Next(7))
            {
                case 0:
                    machine.Pages.Watch(random.Next(Count));
                    break;
                case 1:
                    machine.Pages.Reclaim(random.Next(Count), All, urgent: false);
                    break;
                case 2:
                    machine.Pages.Reclaim(random.Next(Count / 4), (ReclaimMethods)random.Next(1, 8), urgent: true);
                    break;
                case 3:
                    machine.Pages.Share(Count);
                    break;
                case 4:
                    machine.Pages.Restore(random.Next(50));
                    machine.Cache.Capacity = random.Next(60) * 4096L;
                    machine.Pages.ShrinkCache(machine.Cache.Capacity);
                    break;
                case 5:
                    disk.IsFull = random.Next(3) == 0;
                    break;
                default:
                    machine.Pages.NextSample(random.Next(50));
                    machine.Pages.CeilingPages = random.Next(4) == 0 ? random.Next(100, Count) : long.MaxValue;
                    disk.IsFull = false;
                    break;
            }
        }

        threads.ForEach(static thread => thread.Join());
        Assert.Empty(failures);
        var statistics = machine.Pages.Statistics;
        Assert.Equal(Count, statistics.Private + statistics.Shared + statistics.Compressed + statistics.Swapped + statistics.Untouched);
        Assert.Equal(statistics.Private, machine.Meter.Used);
        Assert.Equal(Enumerable.Range(0, Count).Count(page => machine.Pages.EntryOf(page).State == PageState.Private), statistics.Private);
        Assert.All(Enumerable.Range(0, Count), page => Assert.Equal(0, machine.Pages.EntryOf(page).Pins));
        Assert.Equal(statistics.Shared - statistics.SharedZero, frames.Statistics.References);
    }

    // A thread has every fourth page to itself, and knows what is in each: a page is in one of many contents, which others have too.
    private static void Use(PagedMachine machine, int number, int threads, int count, int steps, int seed)
    {
        var random = new Random((seed * 100) + number);
        var contents = new ulong[count];
        byte[] buffer = new byte[4096];
        for (int step = 0; step < steps; step++)
        {
            int page = (random.Next(count / threads) * threads) + number;
            switch (random.Next(8))
            {
                case 0:
                    contents[page] = (ulong)random.Next(40);
                    machine.Fill(page, contents[page]);
                    break;

                case 1:
                    contents[page] = (ulong)random.Next(40);
                    for (int at = 0; at < 4096; at += 8)
                    {
                        BitConverter.TryWriteBytes(buffer.AsSpan(at), PagedMachine.Content(contents[page], at));
                    }

                    Assert.True(machine.Memory.TryWrite(machine.AddressOf(page), buffer));
                    break;

                case 2:
                    Assert.True(machine.Memory.TryRead(machine.AddressOf(page), buffer));
                    for (int at = 0; at < 4096; at += 64)
                    {
                        Assert.Equal(PagedMachine.Content(contents[page], at), BitConverter.ToUInt64(buffer, at));
                    }

                    break;

                case 3 when random.Next(4) == 0:
                    if (machine.Pages.Release([new PageRange(machine.AddressOf(page), 1)]) == 1)
                    {
                        contents[page] = 0;
                    }

                    break;

                default:
                    int offset = random.Next(512) * 8;
                    Assert.Equal(PagedMachine.Content(contents[page], offset), machine.Load(page, offset));
                    break;
            }
        }
    }
}
