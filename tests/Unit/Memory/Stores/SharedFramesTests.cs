using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Memory.Stores;

public unsafe class SharedFramesTests
{
    private const int None = SharedFrames.None;

    [Fact]
    public void A_frame_is_found_by_content_and_goes_with_its_last_reference()
    {
        using var frames = new SharedFrames();
        using var pages = new TestPages(2);
        ulong hash = PageContent.Hash(pages.FillRandom(0, 1));
        PageContent.Copy(pages[0], pages[1]);
        Assert.Equal(None, frames.Share(pages[0], hash));

        int frame = frames.Create(pages[0], hash);
        Assert.Equal(frame, frames.Share(pages[1], hash));
        frames.AddReference(frame);
        Assert.Equal(3, frames.References(frame));
        Assert.Equal((1L, 3L, 2L), Counts(frames));
        Assert.True(PageContent.Equal(pages[0], frames.Address(frame)));

        frames.Release(frame);
        frames.Release(frame);
        Assert.Equal(frame, frames.Share(pages[1], hash));
        frames.Release(frame);
        frames.Release(frame);
        Assert.Equal(None, frames.Share(pages[0], hash));
        Assert.Equal((0L, 0L, 0L), Counts(frames));
    }

    [Fact]
    public void Content_decides_and_not_the_hash()
    {
        using var frames = new SharedFrames();
        using var pages = new TestPages(2);
        pages.FillRandom(0, 1);
        pages.FillRandom(1, 2);
        int first = frames.Create(pages[0], 42), second = frames.Create(pages[1], 42);
        Assert.NotEqual(first, second);
        Assert.Equal(first, frames.Share(pages[0], 42));
        Assert.Equal(second, frames.Share(pages[1], 42));
        frames.Release(second);
        frames.Release(second);
        Assert.Equal(first, frames.Share(pages[0], 42));
        Assert.Equal(None, frames.Share(pages[1], 42));
    }

    [Fact]
    public void The_zero_page_is_frame_zero_and_counted_apart()
    {
        using var frames = new SharedFrames();
        using var pages = new TestPages(1);
        Assert.Equal(SharedFrames.ZeroFrame, frames.Share(pages[0], PageContent.ZeroHash));
        Assert.Equal(SharedFrames.ZeroFrame, frames.Create(pages[0], PageContent.ZeroHash));
        frames.AddReference(SharedFrames.ZeroFrame);
        Assert.True(PageContent.IsZero(frames.Address(SharedFrames.ZeroFrame)));
        var statistics = frames.Statistics;
        Assert.Equal((0L, 0L, 3L, 3L), (statistics.Frames, statistics.References, statistics.ZeroReferences, statistics.SavedPages));
        frames.Release(SharedFrames.ZeroFrame);
        frames.Release(SharedFrames.ZeroFrame);
        frames.Release(SharedFrames.ZeroFrame);
        Assert.Equal(SharedFrames.ZeroFrame, frames.Share(pages[0], PageContent.ZeroHash));
    }

    [Fact]
    public void A_reference_too_many_given_back_is_refused()
    {
        using var frames = new SharedFrames();
        using var pages = new TestPages(1);
        int frame = frames.Create(pages.FillRandom(0, 1), 1);
        frames.Release(frame);
        Assert.Throws<InvalidOperationException>(() => frames.Release(frame));
        Assert.Throws<InvalidOperationException>(() => frames.AddReference(frame));
    }

    [Fact]
    public void A_full_store_says_so_and_still_finds_what_it_has()
    {
        using var frames = new SharedFrames(maximumFrames: 3);
        using var pages = new TestPages(3);
        int first = frames.Create(pages.FillRandom(0, 1), 1);
        int second = frames.Create(pages.FillRandom(1, 2), 2);
        Assert.Equal(None, frames.Create(pages.FillRandom(2, 3), 3));
        Assert.Equal(first, frames.Create(pages[0], 1));
        frames.Release(second);
        Assert.NotEqual(None, frames.Create(pages[2], 3));
    }

    [Fact]
    public void Random_orders_agree_with_a_model()
    {
        const int Contents = 6000, Steps = 100_000;
        using var frames = new SharedFrames();
        using var pages = new TestPages(1);
        var random = new Random(11);
        var held = new Dictionary<int, (int Frame, int References)>();
        for (int step = 0; step < Steps; step++)
        {
            // First mostly more, then mostly less: tables grow and shrink.
            bool add = random.Next(10) < (step < Steps / 2 ? 7 : 2);
            int content = random.Next(Contents);
            Put(pages, content);

            // Few hashes for many contents: chains are long and their middles go.
            ulong hash = (ulong)(content % 2000) * 0x9E37_79B9_7F4A_7C15;
            bool known = held.TryGetValue(content, out var state);
            if (add)
            {
                int frame = random.Next(2) == 0 && known ? frames.Share(pages[0], hash) : frames.Create(pages[0], hash);
                Assert.True(!known || frame == state.Frame);
                held[content] = (frame, state.References + 1);
            }
            else if (known)
            {
                Assert.True(PageContent.Equal(pages[0], frames.Address(state.Frame)));
                Assert.Equal(state.References, frames.References(state.Frame));
                frames.Release(state.Frame);
                if (state.References == 1)
                {
                    held.Remove(content);
                    Assert.Equal(None, frames.Share(pages[0], hash));
                }
                else
                {
                    held[content] = state with { References = state.References - 1 };
                }
            }
        }

        Assert.Equal(held.Values.Select(state => state.Frame).Distinct().Count(), held.Count);
        Assert.Equal((held.Count, held.Values.Sum(state => (long)state.References)), ((int)frames.Statistics.Frames, frames.Statistics.References));
        foreach (var (content, state) in held)
        {
            Put(pages, content);
            Assert.True(PageContent.Equal(pages[0], frames.Address(state.Frame)));
        }

        static void Put(TestPages pages, int content)
        {
            pages.Words(0)[content % 512] = 0;
            pages.Span(0).Clear();
            pages.Words(0)[content % 512] = (ulong)content + 1;
        }
    }

    [Fact]
    public void Memory_of_frames_that_go_is_given_back()
    {
        const int Count = 5000;
        using var frames = new SharedFrames();
        using var pages = new TestPages(1);
        var made = new int[Count];
        for (int i = 0; i < Count; i++)
        {
            pages.Words(0)[0] = (ulong)i + 1;
            made[i] = frames.Create(pages[0], (ulong)i << 32 | (uint)i);
        }

        long most = frames.Statistics.HeldBytes;
        Assert.InRange(most, (long)Count * PageContent.Size, (long)Count * PageContent.Size * 11 / 10);

        // Every second one: no chunk is empty, and yet the pages go.
        for (int i = 0; i < Count; i += 2)
        {
            frames.Release(made[i]);
        }

        Assert.InRange(frames.Statistics.HeldBytes, 0, most - ((Count / 2) - 512L) * PageContent.Size);
        for (int i = 1; i < Count; i += 2)
        {
            frames.Release(made[i]);
        }

        Assert.InRange(frames.Statistics.HeldBytes, 0, 2 << 20);
    }

    [LinuxFact]
    public void A_page_of_a_frame_that_went_is_not_in_memory_any_more()
    {
        const int Count = 1000;
        using var frames = new SharedFrames();
        using var pages = new TestPages(1);
        var made = new int[Count];
        for (int i = 0; i < Count; i++)
        {
            made[i] = frames.Create(pages.FillRandom(0, i), (ulong)i);
        }

        var addresses = made.Select(frame => (nint)frames.Address(frame)).ToArray();
        Assert.Equal(Count, addresses.Count(ResidentPages.Contains));
        foreach (int frame in made.Skip(1))
        {
            frames.Release(frame);
        }

        // A few hundred stay at hand for the next.
        Assert.InRange(addresses.Count(ResidentPages.Contains), 1, 257);
        Assert.True(ResidentPages.Contains(addresses[0]));
    }

    [Fact]
    public void Threads_that_share_and_release_the_same_contents_lose_no_reference()
    {
        const int Threads = 4, Contents = 64, Steps = 30_000;
        using var frames = new SharedFrames();
        var failures = new System.Collections.Concurrent.ConcurrentQueue<string>();
        var threads = Enumerable.Range(0, Threads).Select(thread => new Thread(() =>
        {
            using var pages = new TestPages(1);
            var random = new Random(thread);
            var held = new List<(int Content, int Frame)>();
            for (int step = 0; step < Steps; step++)
            {
                if (held.Count == 0 || (held.Count < 32 && random.Next(2) == 0))
                {
                    int content = random.Next(Contents);
                    pages.Words(0)[5] = (ulong)content + 1;
                    int frame = frames.Create(pages[0], PageContent.Hash(pages[0]));
                    held.Add((content, frame));
                    if (random.Next(4) == 0)
                    {
                        frames.AddReference(frame);
                        held.Add((content, frame));
                    }
                }
                else
                {
                    int at = random.Next(held.Count);
                    var (content, frame) = held[at];
                    pages.Words(0)[5] = (ulong)content + 1;
                    if (!PageContent.Equal(pages[0], frames.Address(frame)))
                    {
                        failures.Enqueue($"Frame {frame} does not hold content {content}.");
                        return;
                    }

                    frames.Release(frame);
                    held.RemoveAt(at);
                }
            }

            held.ForEach(one => frames.Release(one.Frame));
        })).ToList();
        threads.ForEach(thread => thread.Start());
        threads.ForEach(thread => thread.Join());
        Assert.Empty(failures);
        Assert.Equal((0L, 0L, 0L), Counts(frames));
    }

    [Fact]
    public void A_hint_leads_from_a_second_page_to_the_first()
    {
        using var frames = new SharedFrames();
        Assert.False(frames.Remember(77, new PageHint(3, 100), out _));
        Assert.False(frames.Remember(77, new PageHint(3, 100), out _));
        Assert.True(frames.Remember(77, new PageHint(4, 0xFF_FFFF_FFFF), out var earlier));
        Assert.Equal(new PageHint(3, 100), earlier);
        Assert.True(frames.Remember(77, new PageHint(3, 100), out earlier));
        Assert.Equal(new PageHint(4, 0xFF_FFFF_FFFF), earlier);
        frames.ForgetHints(3);
        Assert.False(frames.Remember(77, new PageHint(5, 1), out _));
    }

    [Fact]
    public void Hints_are_bounded_and_the_oldest_go_first()
    {
        using var frames = new SharedFrames(hints: 256);
        for (ulong i = 0; i < 5; i++)
        {
            Assert.False(frames.Remember(i << 32, new PageHint(1, (long)i), out _));
        }

        Assert.False(frames.Remember(0, new PageHint(2, 9), out _));
        Assert.True(frames.Remember(4ul << 32, new PageHint(2, 9), out var earlier));
        Assert.Equal(new PageHint(1, 4), earlier);
    }

    private static (long Frames, long References, long Saved) Counts(SharedFrames frames) =>
        (frames.Statistics.Frames, frames.Statistics.References, frames.Statistics.SavedPages);
}
