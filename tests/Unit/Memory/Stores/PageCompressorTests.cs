using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Memory.Stores;

public unsafe class PageCompressorTests
{
    public static TheoryData<string> Methods => [.. Enum.GetNames<PageCompression>()];

    [Theory]
    [MemberData(nameof(Methods))]
    public void A_page_comes_back_as_it_was(string method)
    {
        if (PageCompressor.TryCreate(Enum.Parse<PageCompression>(method)) is not { } compressor)
        {
            // A system without the library has the other methods.
            Assert.NotEqual(nameof(PageCompression.Brotli), method);
            return;
        }

        using var pages = new TestPages(3);
        for (int randomBytes = 0; randomBytes <= PageContent.Size; randomBytes += 64)
        {
            pages.FillPartly(0, randomBytes, randomBytes);
            int length = compressor.Compress(pages[0], pages[1], PageContent.Size / 2);
            Assert.True(randomBytes > 1900 || length > 0);
            Assert.True(randomBytes < 2048 || length == 0);
            if (length > 0)
            {
                pages.FillRandom(2, 1);
                Assert.True(compressor.Decompress(pages[1], length, pages[2]));
                Assert.True(PageContent.Equal(pages[0], pages[2]));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void Bytes_that_nobody_compressed_are_refused_or_make_a_page_and_never_more(string method)
    {
        if (PageCompressor.TryCreate(Enum.Parse<PageCompression>(method)) is not { } compressor)
        {
            Assert.NotEqual(nameof(PageCompression.Brotli), method);
            return;
        }

        using var pages = new TestPages(4);
        for (int seed = 0; seed < 2000; seed++)
        {
            pages.Span(2).Fill(0x5A);
            pages.Span(3).Fill(0x5A);
            int length = 1 + seed;
            if (seed % 2 == 0)
            {
                pages.FillRandom(0, seed);
            }
            else
            {
                length = compressor.Compress(pages.FillPartly(1, seed, 1000), pages[0], 2048);
                pages.Span(0)[seed % length] ^= (byte)(1 << (seed & 7));
            }

            _ = compressor.Decompress(pages[0], length, pages[2]);
            Assert.Equal(-1, pages.Span(3).IndexOfAnyExcept((byte)0x5A));
        }
    }

    [Fact]
    public void The_method_in_use_is_stated()
    {
        Assert.NotEmpty(PageCompressor.Default.Description);
        Assert.NotNull(PageCompressor.TryCreate(PageCompressor.Default.Method));
    }
}
