using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native.Files;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Memory.Stores;

public sealed unsafe class SwapFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("hv-swap").FullName;

    private string FilePath => Path.Combine(_folder, "machine.vswp");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Pages_come_back_as_they_went()
    {
        using var swap = SwapFile.Create(FilePath, 1000);
        using var pages = new TestPages(300);
        var slots = Write(swap, pages, 300);
        Assert.Equal(Enumerable.Range(0, 300), slots);
        Assert.Equal(300, swap.Statistics.PagesInUse);
        Assert.Equal(2, swap.Statistics.WriteCalls);
        using var back = new TestPages(300);
        Assert.Equal(SwapResult.Done, swap.Read(slots, Addresses(back, 300), out int read));
        Assert.Equal(300, read);
        Assert.Equal(10, swap.Statistics.ReadCalls);
        for (int i = 0; i < 300; i++)
        {
            Assert.True(PageContent.Equal(pages[i], back[i]));
        }

        Assert.Equal(SwapResult.Done, swap.Read(slots[299], back[0]));
        Assert.True(PageContent.Equal(pages[299], back[0]));
        Assert.Equal((301L, 300L, 0L), (swap.Statistics.PagesRead, swap.Statistics.PagesWritten, swap.Statistics.Failures));
    }

    [Fact]
    public void Nothing_that_was_written_can_be_read_in_the_file()
    {
        using var storage = new MemorySwapStorage();
        using var swap = new SwapFile(storage, 10);
        using var pages = new TestPages(2);
        pages.Span(0).Fill(0x41);
        pages.Span(1).Fill(0x41);
        Assert.Equal(SwapResult.Done, swap.Write(Addresses(pages, 2), new int[2], out _));
        Assert.InRange(storage[0].Distinct().Count(), 200, 256);
        Assert.NotEqual(storage[0], storage[1]);
    }

    [Fact]
    public void A_changed_an_exchanged_and_a_replayed_block_are_found_out()
    {
        using var storage = new MemorySwapStorage();
        using var swap = new SwapFile(storage, 10);
        using var pages = new TestPages(2);
        var slots = Write(swap, pages, 2);
        var (first, second) = ((byte[])storage[0].Clone(), (byte[])storage[1].Clone());

        storage[0][4095] ^= 1;
        Assert.Equal(SwapResult.Damaged, swap.Read(slots[0], pages[0]));
        Assert.Equal(SwapResult.Done, swap.Read(slots[1], pages[1]));
        storage.Exchange(0, second);
        Assert.Equal(SwapResult.Damaged, swap.Read(slots[0], pages[0]));

        // It was the reading only: the next one succeeds.
        storage.Exchange(0, first);
        Assert.Equal(SwapResult.Done, swap.Read(slots[0], pages[0]));

        swap.Free(slots);
        var again = Write(swap, pages, 2);
        Assert.Equal(slots.Order(), again.Order());
        storage.Exchange(0, first);
        Assert.Equal(SwapResult.Damaged, swap.Read(0, pages[0]));
        Assert.Contains("Slot 0", swap.LastError, StringComparison.Ordinal);
    }

    [Fact]
    public void A_failed_page_of_a_cluster_leaves_those_before_it_read()
    {
        using var storage = new MemorySwapStorage();
        using var swap = new SwapFile(storage, 10);
        using var pages = new TestPages(5);
        using var back = new TestPages(5);
        var slots = Write(swap, pages, 5);
        storage[3][0] ^= 0x80;
        Assert.Equal(SwapResult.Damaged, swap.Read(slots, Addresses(back, 5), out int read));
        Assert.Equal(3, read);
        Assert.True(PageContent.Equal(pages[2], back[2]));
    }

    [Theory]
    [InlineData(PositionalIo.NoSpace)]
    [InlineData(PositionalIo.QuotaExceeded)]
    [InlineData(PositionalIo.FileTooLarge)]
    public void A_full_disk_is_no_room_and_there_may_be_room_later(int error)
    {
        using var storage = new MemorySwapStorage { WriteError = -error };
        using var swap = new SwapFile(storage, 10);
        using var pages = new TestPages(4);
        var slots = new int[4];
        Assert.Equal(SwapResult.NoRoom, swap.Write(Addresses(pages, 4), slots, out int written));
        Assert.Equal(0, written);
        Assert.All(slots, slot => Assert.Equal(SwapFile.None, slot));
        Assert.Equal(0, swap.Statistics.PagesInUse);
        Assert.NotNull(swap.LastError);
        storage.WriteError = 0;
        Write(swap, pages, 4);
    }

    [Fact]
    public void A_disk_that_fills_up_in_the_middle_keeps_the_pages_that_arrived()
    {
        using var storage = new MemorySwapStorage { RoomBlocks = 5, LargestTransfer = 10_000, InterruptEvery = 3 };
        using var swap = new SwapFile(storage, 100);
        using var pages = new TestPages(20);
        using var back = new TestPages(5);
        for (int i = 0; i < 20; i++)
        {
            pages.FillRandom(i, i);
        }

        var slots = new int[20];
        Assert.Equal(SwapResult.NoRoom, swap.Write(Addresses(pages, 20), slots, out int written));
        Assert.Equal(5, written);
        Assert.Equal(5, swap.Statistics.PagesInUse);
        Assert.Equal(SwapResult.Done, swap.Read(slots.AsSpan(0, 5), Addresses(back, 5), out _));
        Assert.True(PageContent.Equal(pages[4], back[4]));
        storage.RoomBlocks = 100;
        Assert.Equal(SwapResult.Done, swap.Write(Addresses(pages, 20).AsSpan(5), slots.AsSpan(5), out written));
        Assert.Equal(15, written);
    }

    [Fact]
    public void A_disk_error_is_told_from_a_full_disk_and_may_be_tried_again()
    {
        const int IoError = 5;
        using var storage = new MemorySwapStorage();
        using var swap = new SwapFile(storage, 10);
        using var pages = new TestPages(1);
        storage.WriteError = -IoError;
        Assert.Equal(SwapResult.IoError, swap.Write(Addresses(pages, 1), new int[1], out _));
        storage.WriteError = 0;
        var slots = Write(swap, pages, 1);
        storage.ReadError = -IoError;
        Assert.Equal(SwapResult.IoError, swap.Read(slots[0], pages[0]));
        storage.ReadError = 0;
        Assert.Equal(SwapResult.Done, swap.Read(slots[0], pages[0]));
        Assert.Equal(2, swap.Statistics.Failures);
    }

    [Fact]
    public void The_limit_is_no_room_and_slots_are_used_again()
    {
        using var storage = new MemorySwapStorage();
        using var swap = new SwapFile(storage, 300);
        using var pages = new TestPages(400);
        for (int i = 0; i < 400; i++)
        {
            pages.FillRandom(i, i);
        }

        var slots = new int[400];
        Assert.Equal(SwapResult.NoRoom, swap.Write(Addresses(pages, 400), slots, out int written));
        Assert.Equal(300, written);

        // Holes of one page each: it goes on in pieces.
        for (int i = 0; i < 300; i += 2)
        {
            swap.Free(slots[i]);
        }

        Assert.Equal(SwapResult.NoRoom, swap.Write(Addresses(pages, 400).AsSpan(0, 200), slots.AsSpan(100), out written));
        Assert.Equal(150, written);
        Assert.Equal(300, swap.Statistics.PagesInUse);
    }

    [Fact]
    public void A_slot_that_is_not_in_use_is_refused()
    {
        using var storage = new MemorySwapStorage();
        using var swap = new SwapFile(storage, 10);
        using var pages = new TestPages(1);
        Assert.Equal(SwapResult.Damaged, swap.Read(0, pages[0]));
        Assert.Throws<InvalidOperationException>(() => swap.Free(0));
        Assert.Throws<InvalidOperationException>(() => swap.Free(-1));
    }

    [Fact]
    public void Blocks_of_slots_that_are_freed_together_go_back_to_the_disk()
    {
        using var storage = new MemorySwapStorage();
        using var swap = new SwapFile(storage, 1000);
        using var pages = new TestPages(600);
        var slots = Write(swap, pages, 600);
        Assert.Equal(600, storage.Blocks);
        swap.Free(slots.AsSpan(100, 200));
        Assert.Equal(400, storage.Blocks);

        // One by one they go when somebody trims, and short runs stay.
        for (int i = 300; i < 350; i++)
        {
            swap.Free(slots[i]);
        }

        swap.Free(slots[400]);
        Assert.Equal(400, storage.Blocks);
        Assert.Equal(50, swap.Trim());
        Assert.Equal(350, storage.Blocks);
        Assert.Equal(0, swap.Trim());

        // An empty file has no blocks at all.
        foreach (int slot in slots.Where((_, index) => index is < 100 or (>= 350 and not 400)))
        {
            swap.Free(slot);
        }

        swap.Trim();
        Assert.Equal(0, storage.Blocks);
    }

    [Fact]
    public void Blocks_of_slots_that_are_freed_one_by_one_go_back_in_the_background()
    {
        using var storage = new MemorySwapStorage();
        using var swap = new SwapFile(storage, 3000);
        using var pages = new TestPages(3000);
        var slots = Write(swap, pages, 3000);
        foreach (int slot in slots)
        {
            swap.Free(slot);
        }

        Assert.True(SpinWait.SpinUntil(() => storage.Blocks < 1024 + 256, TimeSpan.FromMinutes(1)));
        Assert.Equal(0, swap.Statistics.PagesInUse);
    }

    [LinuxFact]
    public void A_file_on_a_disk_is_sparse_owned_and_goes_with_the_machine()
    {
        File.WriteAllText(FilePath, "left behind by a process that is no more");
        using (var swap = SwapFile.Create(FilePath, 2048))
        {
            Assert.Equal(0, new FileInfo(FilePath).Length);
            Assert.True(OperatingSystem.IsWindows() || File.GetUnixFileMode(FilePath) == (UnixFileMode.UserRead | UnixFileMode.UserWrite));
            using var pages = new TestPages(1024);
            var slots = Write(swap, pages, 1024);
            Assert.InRange(FileSpace.Allocated(FilePath), 1024 * 4096, (1024 * 4096) + (1 << 20));
            swap.Free(slots);
            Assert.InRange(FileSpace.Allocated(FilePath), 0, 64 * 1024);
            Assert.Throws<IOException>(() => SwapFile.Create(FilePath, 1));
            Assert.Throws<IOException>(() => SwapFile.DeleteStale(FilePath));
        }

        Assert.False(File.Exists(FilePath));
        SwapFile.DeleteStale(FilePath);
    }

    [SmallDiskFact]
    public void A_disk_that_is_really_full_takes_what_it_has_room_for_and_more_when_there_is_room()
    {
        using var disk = new SmallDisk(64 * 4096);
        using var swap = SwapFile.Create(Path.Combine(disk.Folder, "machine.vswp"), 1000);
        using var pages = new TestPages(200);
        using var back = new TestPages(200);
        for (int i = 0; i < 200; i++)
        {
            pages.FillRandom(i, i);
        }

        var slots = new int[200];
        Assert.Equal(SwapResult.NoRoom, swap.Write(Addresses(pages, 200), slots, out int written));
        Assert.InRange(written, 32, 64);
        Assert.Equal(SwapResult.NoRoom, swap.Write(Addresses(pages, 200).AsSpan(written), slots.AsSpan(written), out int more));
        Assert.Equal(0, more);
        Assert.Equal(SwapResult.Done, swap.Read(slots.AsSpan(0, written), Addresses(back, written), out _));
        for (int i = 0; i < written; i++)
        {
            Assert.True(PageContent.Equal(pages[i], back[i]));
        }

        swap.Free(slots.AsSpan(0, 20));
        Assert.Equal(SwapResult.Done, swap.Write(Addresses(pages, 20), slots, out _));
        Assert.Equal(SwapResult.Done, swap.Read(slots[19], back[0]));
        Assert.True(PageContent.Equal(pages[19], back[0]));
    }

    [Fact]
    public void Random_orders_agree_with_a_model()
    {
        const int Pages = 700, Limit = 500;
        using var storage = new MemorySwapStorage();
        using var swap = new SwapFile(storage, Limit);
        using var pages = new TestPages(64);
        using var back = new TestPages(64);
        var random = new Random(3);
        var held = new Dictionary<int, int>();
        for (int step = 0; step < 1500; step++)
        {
            int count = random.Next(1, 65);
            if (random.Next(2) == 0)
            {
                var numbers = Enumerable.Range(random.Next(Pages), count).Where(number => !held.ContainsKey(number)).ToArray();
                for (int i = 0; i < numbers.Length; i++)
                {
                    pages.FillPartly(i, numbers[i], 64);
                }

                var slots = new int[numbers.Length];
                var result = swap.Write(Addresses(pages, numbers.Length), slots, out int written);
                Assert.Equal(Math.Min(numbers.Length, Limit - held.Count), written);
                Assert.Equal(written == numbers.Length ? SwapResult.Done : SwapResult.NoRoom, result);
                for (int i = 0; i < written; i++)
                {
                    held.Add(numbers[i], slots[i]);
                }

                Assert.Equal(held.Count, held.Values.Distinct().Count());
            }
            else
            {
                var numbers = held.Keys.OrderBy(_ => random.Next()).Take(count).ToArray();
                if (random.Next(2) == 0)
                {
                    Array.Sort(numbers, (left, right) => held[left] - held[right]);
                }

                var slots = numbers.Select(number => held[number]).ToArray();
                Assert.Equal(SwapResult.Done, swap.Read(slots, Addresses(back, numbers.Length), out int read));
                Assert.Equal(numbers.Length, read);
                for (int i = 0; i < read; i++)
                {
                    pages.FillPartly(0, numbers[i], 64);
                    Assert.True(PageContent.Equal(pages[0], back[i]));
                    held.Remove(numbers[i]);
                }

                swap.Free(slots);
            }

            Assert.Equal(held.Count, swap.Statistics.PagesInUse);
        }

        swap.Trim();
        Assert.InRange(storage.Blocks, held.Count, Limit);
    }

    [Fact]
    public void Threads_write_read_free_and_trim_beside_each_other()
    {
        using var swap = SwapFile.Create(FilePath, 3000);
        var failures = new System.Collections.Concurrent.ConcurrentQueue<string>();
        var threads = Enumerable.Range(0, 4).Select(thread => new Thread(() =>
        {
            using var pages = new TestPages(32);
            using var back = new TestPages(32);
            var random = new Random(thread);
            var held = new Queue<(int Slot, int Seed)>();
            for (int step = 0; step < 300; step++)
            {
                int count = random.Next(1, 33);
                for (int i = 0; i < count; i++)
                {
                    pages.FillPartly(i, (thread << 24) + (step << 8) + i, 64);
                }

                var slots = new int[count];
                if (swap.Write(Addresses(pages, count), slots, out _) != SwapResult.Done)
                {
                    failures.Enqueue($"Writing failed: {swap.LastError}");
                    return;
                }

                for (int i = 0; i < count; i++)
                {
                    held.Enqueue((slots[i], (thread << 24) + (step << 8) + i));
                }

                while (held.Count > 500)
                {
                    var (slot, seed) = held.Dequeue();
                    pages.FillPartly(0, seed, 64);
                    if (swap.Read(slot, back[0]) != SwapResult.Done || !PageContent.Equal(pages[0], back[0]))
                    {
                        failures.Enqueue($"Slot {slot} came back wrong.");
                        return;
                    }

                    swap.Free(slot);
                }

                if (step % 50 == thread)
                {
                    swap.Trim();
                }
            }
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        Assert.Empty(failures);
    }

    private static nint[] Addresses(TestPages pages, int count) => [.. Enumerable.Range(0, count).Select(page => (nint)pages[page])];

    private static int[] Write(SwapFile swap, TestPages pages, int count)
    {
        for (int i = 0; i < count; i++)
        {
            pages.FillRandom(i, i);
        }

        var slots = new int[count];
        Assert.Equal(SwapResult.Done, swap.Write(Addresses(pages, count), slots, out int written));
        Assert.Equal(count, written);
        return slots;
    }
}
