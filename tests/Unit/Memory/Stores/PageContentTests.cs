using System.Numerics;
using System.Runtime.Intrinsics.X86;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Memory.Stores;

public unsafe class PageContentTests
{
    private const int Bits = PageContent.Size * 8;

    private delegate ulong HashFunction(byte* page);

    private static IEnumerable<HashFunction> Hashes => Pclmulqdq.IsSupported ? [PageContent.HashPortable, PageContent.HashCarryless] : [PageContent.HashPortable];

    [Fact]
    public void A_page_is_zero_only_when_every_byte_is()
    {
        using var pages = new TestPages(1);
        Assert.True(PageContent.IsZero(pages[0]));
        for (int i = 0; i < PageContent.Size; i++)
        {
            pages[0][i] = 1;
            Assert.False(PageContent.IsZero(pages[0]));
            pages[0][i] = 0;
        }
    }

    [Fact]
    public void Equal_pages_have_equal_hashes_wherever_they_lie()
    {
        using var pages = new TestPages(2);
        pages.FillRandom(0, 1);
        PageContent.Copy(pages[0], pages[1]);
        Assert.True(PageContent.Equal(pages[0], pages[1]));
        Assert.All(Hashes, hash => Assert.Equal(hash(pages[0]), hash(pages[1])));
        pages[1][PageContent.Size - 1] ^= 1;
        Assert.False(PageContent.Equal(pages[0], pages[1]));
    }

    [Fact]
    public void The_hash_of_the_zero_page_is_known()
    {
        using var pages = new TestPages(1);
        Assert.Equal(PageContent.ZeroHash, PageContent.Hash(pages[0]));
    }

    [Fact]
    public void Pages_that_differ_in_one_bit_have_different_hashes()
    {
        using var pages = new TestPages(1);
        foreach (var hash in Hashes)
        {
            var seen = new HashSet<ulong> { hash(pages[0]) };
            for (int bit = 0; bit < Bits; bit++)
            {
                pages[0][bit >> 3] ^= (byte)(1 << (bit & 7));
                Assert.True(seen.Add(hash(pages[0])));
                pages[0][bit >> 3] ^= (byte)(1 << (bit & 7));
            }
        }
    }

    [Fact]
    public void Pages_of_two_equal_or_exchanged_words_have_different_hashes()
    {
        // What a sum over words would take for the same.
        using var pages = new TestPages(1);
        foreach (var hash in Hashes)
        {
            var seen = new HashSet<ulong>();
            for (int i = 0; i < 512; i += 3)
            {
                for (int j = i + 1; j < 512; j += 5)
                {
                    pages.Words(0)[i] = 1;
                    pages.Words(0)[j] = ulong.MaxValue;
                    Assert.True(seen.Add(hash(pages[0])));
                    (pages.Words(0)[i], pages.Words(0)[j]) = (ulong.MaxValue, 1);
                    Assert.True(seen.Add(hash(pages[0])));
                    pages.Words(0)[i] = pages.Words(0)[j] = 0;
                }
            }
        }
    }

    [Fact]
    public void A_changed_bit_changes_every_bit_of_the_hash_about_half_of_the_time()
    {
        using var pages = new TestPages(1);
        foreach (var hash in Hashes)
        {
            const int Trials = 4096;
            var flips = new int[64];
            var random = new Random(7);
            pages.FillRandom(0, 3);
            for (int trial = 0; trial < Trials; trial++)
            {
                int bit = random.Next(Bits);
                ulong before = hash(pages[0]);
                pages[0][bit >> 3] ^= (byte)(1 << (bit & 7));
                ulong change = before ^ hash(pages[0]);
                for (int i = 0; i < 64; i++)
                {
                    flips[i] += (int)(change >> i & 1);
                }
            }

            // The deviation of a fair coin is 32 here; the key is another in each process, so the bound is wide.
            Assert.All(flips, count => Assert.InRange(count, (Trials / 2) - 400, (Trials / 2) + 400));
        }
    }

    [Fact]
    public void Hashes_of_similar_pages_spread_over_buckets_as_random_numbers_do()
    {
        using var pages = new TestPages(1);
        foreach (var hash in Hashes)
        {
            const int Count = 1 << 16, Buckets = 1 << 12;
            var low = new int[Buckets];
            var high = new int[64];
            for (int i = 0; i < Count; i++)
            {
                pages.Words(0)[17] = (ulong)i;
                ulong value = hash(pages[0]);
                low[value & (Buckets - 1)]++;
                high[value >> 58]++;
            }

            // 16 a bucket on average, 1024 a shard: a table that holds them works as it should when none is far fuller.
            Assert.InRange(low.Max(), 16, 96);
            Assert.InRange(high.Max(), 1024, 2048);
        }
    }
}
