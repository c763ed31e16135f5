using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Memory.Stores;

public unsafe class CompressionCacheTests
{
    private const long Plenty = 1L << 30;

    [Fact]
    public void A_page_that_shrinks_to_half_is_stored_and_comes_back()
    {
        using var cache = new CompressionCache(Plenty);
        using var pages = new TestPages(2);
        Assert.Equal(CompressionOutcome.Stored, cache.Store(pages.FillPartly(0, 1, 1000), 5, out int slot));
        Assert.True(cache.TryLoad(slot, pages[1]));
        Assert.True(PageContent.Equal(pages[0], pages[1]));
        Assert.Equal(CompressionOutcome.TooLarge, cache.Store(pages.FillRandom(0, 2), 6, out int none));
        Assert.Equal(CompressionCache.None, none);

        var statistics = cache.Statistics;
        Assert.Equal((1L, 4096L, 2L, 1L, 1L), (statistics.StoredPages, statistics.UsedBytes, statistics.Compressions, statistics.Decompressions, statistics.TooLarge));
        Assert.InRange(statistics.CompressedBytes, 1000, 1100);
        cache.Free(slot);
        Assert.Equal((0L, 0L, 0L), (cache.Statistics.StoredPages, cache.Statistics.UsedBytes, cache.Statistics.CompressedBytes));
    }

    [Fact]
    public void A_slot_that_is_not_in_use_is_refused()
    {
        using var cache = new CompressionCache(Plenty);
        using var pages = new TestPages(1);
        Assert.False(cache.TryLoad(0, pages[0]));
        Assert.False(cache.TryLoad(-1, pages[0]));
        cache.Store(pages[0], 1, out int slot);
        cache.Store(pages[0], 2, out _);
        cache.Free(slot);
        Assert.False(cache.TryLoad(slot, pages[0]));
        Assert.Throws<InvalidOperationException>(() => cache.Free(slot));
    }

    [Fact]
    public void The_capacity_is_never_exceeded_and_the_oldest_pages_are_named()
    {
        using var cache = new CompressionCache(16 * 4096);
        using var pages = new TestPages(1);
        var slots = new List<int>();
        int number = 0;
        while (cache.Store(pages.FillPartly(0, number, 1200), number, out int slot) == CompressionOutcome.Stored)
        {
            slots.Add(slot);
            number++;
        }

        Assert.Equal(48, slots.Count);
        Assert.Equal(16 * 4096, cache.Statistics.UsedBytes);
        Assert.True(cache.TryGetOldest(out var oldest));
        Assert.Equal(new CompressedPage(slots[0], 0), oldest);
        Assert.True(cache.Renew(oldest));
        Assert.False(cache.Renew(oldest with { Page = 99 }));
        Assert.True(cache.TryGetOldest(out oldest));
        Assert.Equal(new CompressedPage(slots[1], 1), oldest);

        cache.Capacity = 8 * 4096;
        Assert.Equal(8 * 4096, cache.ExcessBytes);
        Assert.Equal(CompressionOutcome.Full, cache.Store(pages[0], 7, out _));
        var batch = new CompressedPage[100];
        Assert.Equal(48, cache.GetOldest(batch));
        Assert.Equal(0, batch[47].Page);
        int moved = 0;
        while (cache.ExcessBytes > 0)
        {
            cache.Free(batch[moved++].Slot);
        }

        Assert.InRange(moved, 24, 30);
        while (cache.Store(pages[0], 7, out _) == CompressionOutcome.Stored)
        {
            Assert.Equal(0, cache.ExcessBytes);
        }

        cache.Capacity = 9 * 4096;
        Assert.Equal(CompressionOutcome.Stored, cache.Store(pages[0], 7, out _));
    }

    [Fact]
    public void A_cache_without_capacity_stores_nothing()
    {
        using var cache = new CompressionCache(0);
        using var pages = new TestPages(1);
        Assert.Equal(CompressionOutcome.Full, cache.Store(pages[0], 1, out _));
        Assert.False(cache.TryGetOldest(out var oldest));
        Assert.Equal(CompressionCache.None, oldest.Slot);
    }

    [Fact]
    public void Content_that_was_damaged_in_memory_is_not_handed_out()
    {
        var damaging = new DamagingCompressor();
        using var cache = new CompressionCache(Plenty, damaging);
        using var pages = new TestPages(2);
        cache.Store(pages.FillPartly(0, 1, 500), 1, out int slot);
        Assert.True(cache.TryLoad(slot, pages[1]));
        damaging.Damage = true;
        Assert.False(cache.TryLoad(slot, pages[1]));
    }

    [Fact]
    public void Random_orders_agree_with_a_model_and_waste_little()
    {
        const int Pages = 3000, Steps = 60_000;
        using var cache = new CompressionCache(Plenty);
        using var pages = new TestPages(2);
        var random = new Random(5);
        var stored = new Dictionary<int, (int Slot, int Seed, int Bytes)>();
        for (int step = 0; step < Steps; step++)
        {
            int page = random.Next(Pages);
            if (stored.Remove(page, out var state))
            {
                if (random.Next(4) == 0)
                {
                    pages.FillPartly(0, state.Seed, state.Bytes);
                    Assert.True(cache.TryLoad(state.Slot, pages[1]));
                    Assert.True(PageContent.Equal(pages[0], pages[1]));
                }

                cache.Free(state.Slot);
            }
            else
            {
                int bytes = random.Next(1900);
                Assert.Equal(CompressionOutcome.Stored, cache.Store(pages.FillPartly(0, step, bytes), page, out int slot));
                stored[page] = (slot, step, bytes);
            }

            if (step % 5000 == 4999)
            {
                // 17 classes with at most two blocks to spare each; a place is at most a third longer than its content, and 40 bytes.
                var statistics = cache.Statistics;
                Assert.Equal(stored.Count, statistics.StoredPages);
                Assert.InRange(statistics.UsedBytes, statistics.CompressedBytes, (statistics.CompressedBytes * 4 / 3) + (40 * statistics.StoredPages) + (17 * 2 * 4096));
            }
        }

        foreach (var (page, state) in stored)
        {
            pages.FillPartly(0, state.Seed, state.Bytes);
            Assert.True(cache.TryLoad(state.Slot, pages[1]));
            Assert.True(PageContent.Equal(pages[0], pages[1]));
            cache.Free(state.Slot);
        }

        Assert.Equal(0, cache.Statistics.UsedBytes);
        Assert.InRange(cache.Statistics.HeldBytes, 0, 128 * 1024);
    }

    [Fact]
    public void Pages_that_are_freed_in_any_order_leave_no_thin_blocks()
    {
        using var cache = new CompressionCache(Plenty);
        using var pages = new TestPages(1);
        var slots = new List<int>();
        for (int i = 0; i < 2000; i++)
        {
            cache.Store(pages.FillPartly(0, i, 300), i, out int slot);
            slots.Add(slot);
        }

        long full = cache.Statistics.UsedBytes;
        foreach (int slot in slots.Where((_, index) => index % 8 != 0))
        {
            cache.Free(slot);
        }

        Assert.InRange(cache.Statistics.UsedBytes, full / 8, (full / 8) + (3 * 4096));
    }

    [Fact]
    public void Threads_store_load_and_free_beside_each_other()
    {
        using var cache = new CompressionCache(64 * 4096);
        var failures = new System.Collections.Concurrent.ConcurrentQueue<string>();
        var threads = Enumerable.Range(0, 4).Select(thread => new Thread(() =>
        {
            using var pages = new TestPages(2);
            var random = new Random(thread);
            var held = new List<(int Slot, int Seed, int Bytes)>();
            for (int step = 0; step < 8000; step++)
            {
                int bytes = random.Next(1900), seed = (thread << 24) + step;
                if (held.Count < 60 && random.Next(2) == 0)
                {
                    if (cache.Store(pages.FillPartly(0, seed, bytes), seed, out int slot) == CompressionOutcome.Stored)
                    {
                        held.Add((slot, seed, bytes));
                    }
                }
                else if (held.Count > 0)
                {
                    int at = random.Next(held.Count);
                    var one = held[at];
                    pages.FillPartly(0, one.Seed, one.Bytes);
                    if (!cache.TryLoad(one.Slot, pages[1]) || !PageContent.Equal(pages[0], pages[1]))
                    {
                        failures.Enqueue($"Slot {one.Slot} came back wrong.");
                        return;
                    }

                    cache.Free(one.Slot);
                    held.RemoveAt(at);
                }
            }

            held.ForEach(one => cache.Free(one.Slot));
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        Assert.Empty(failures);
        Assert.Equal((0L, 0L), (cache.Statistics.StoredPages, cache.Statistics.UsedBytes));
    }

    /// <summary>Stands for memory that changes by itself: the compressed bytes decode, but to something else.</summary>
    private sealed class DamagingCompressor : PageCompressor
    {
        private readonly PageCompressor _inner = PageCompressor.TryCreate(PageCompression.Brotli)!;

        public bool Damage { get; set; }

        public override PageCompression Method => _inner.Method;

        public override string Description => _inner.Description;

        public override int Compress(Workspace workspace, byte* destination, int capacity) => _inner.Compress(workspace, destination, capacity);

        public override bool Decompress(Workspace workspace, byte* source, int length, byte* page)
        {
            bool done = _inner.Decompress(workspace, source, length, page);
            page[1234] ^= Damage ? (byte)1 : (byte)0;
            return done;
        }
    }
}
