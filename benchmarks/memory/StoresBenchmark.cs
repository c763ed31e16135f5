using System.Diagnostics;
using System.Globalization;
using System.Runtime.Intrinsics.X86;
using System.Security.Cryptography;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Benchmarks.Memory;

/// <summary>The stores of reclaimed memory, page by page, beside what the machine does without them.</summary>
internal static unsafe class StoresBenchmark
{
    public static int Run(string[] args)
    {
        string folder = Path.GetTempPath();
        int count = 8192;
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--folder" when i + 1 < args.Length: folder = args[++i]; break;
                case "--pages" when i + 1 < args.Length: count = int.Parse(args[++i], CultureInfo.InvariantCulture); break;
                default:
                    Console.Error.WriteLine($"'{args[i]}' is not an option of stores.");
                    return 2;
            }
        }

        using var pages = new PageSet(count);
        using var other = new PageSet(count);
        pages.FillFromLibraries();
        other.Touch();
        Console.WriteLine($"{Environment.ProcessorCount} host CPUs, .NET {Environment.Version}, {DateTime.UtcNow:yyyy-MM-dd}; {count} pages of the runtime's libraries, processor time of one thread, best of at least 7 rounds");
        Console.WriteLine();
        Measure.Header();
        double copy = Measure.Line("copy", Measure.Best(count, () => Each(count, i => PageContent.Copy(pages[i], other[i]))));
        Content(pages, other, copy);
        Frames(pages, copy);
        Compression(pages, other);
        Swap(pages, other, folder);
        return 0;
    }

    private static void Content(PageSet pages, PageSet other, double copy)
    {
        int count = pages.Count;
        for (int i = 0; i < count; i++)
        {
            PageContent.Copy(pages[i], other[i]);
        }

        long sink = 0;
        void Line(string what, Action<int> each)
        {
            double rate = Measure.Best(count, () => Each(count, each));
            Measure.Line(what, rate, Measure.Against(rate, copy, "copy"));
        }

        Line("compare equal pages", i => sink += PageContent.Equal(pages[i], other[i]) ? 1 : 0);
        if (Pclmulqdq.IsSupported)
        {
            Line("hash, carry-less", i => sink += (long)PageContent.HashCarryless(pages[i]));
        }

        Line("hash, portable", i => sink += (long)PageContent.HashPortable(pages[i]));
        Line("zero test, content", i => sink += PageContent.IsZero(pages[i]) ? 1 : 0);
        new Span<byte>(other[0], count * PageContent.Size).Clear();
        Line("zero test, zeroes", i => sink += PageContent.IsZero(other[i]) ? 1 : 0);
        GC.KeepAlive(sink);
    }

    private static void Frames(PageSet pages, double copy)
    {
        int count = pages.Count;
        var fresh = new PageSet(count);
        double touch = Measure.Best(
            count,
            () => Each(count, i => PageContent.Copy(pages[i], fresh[i])),
            () =>
            {
                fresh.Dispose();
                fresh = new PageSet(count);
            });
        fresh.Dispose();
        Measure.Line("copy to memory that is touched first", touch, Measure.Against(touch, copy, "copy"));
        using var frames = new SharedFrames();
        int[] held = new int[count];
        double create = Measure.Best(
            count, () => Each(count, i => held[i] = frames.Create(pages[i], PageContent.Hash(pages[i]))), () => Each(count, i => frames.Release(held[i])));
        Measure.Line("hash and create a frame, its memory included", create, Measure.Against(create, touch, "copy to memory that is touched first"));
        Each(count, i => held[i] = frames.Create(pages[i], PageContent.Hash(pages[i])));
        double share = Measure.Best(count, () => Each(count, i => frames.Release(frames.Share(pages[i], PageContent.Hash(pages[i])))));
        Measure.Line("hash, find, compare, release", share, Measure.Against(share, copy, "copy"));
    }

    private static void Compression(PageSet pages, PageSet other)
    {
        int count = pages.Count;
        foreach (var method in Enum.GetValues<PageCompression>())
        {
            using var compressor = PageCompressor.TryCreate(method);
            if (compressor is null)
            {
                continue;
            }

            using var cache = new CompressionCache(long.MaxValue, compressor);
            var slots = new List<(int Slot, int Page)>(count);
            double store = Measure.Best(
                count,
                () => Each(count, i =>
                {
                    if (cache.Store(pages[i], i, out int slot) == CompressionOutcome.Stored)
                    {
                        slots.Add((slot, i));
                    }
                }),
                () =>
                {
                    slots.ForEach(one => cache.Free(one.Slot));
                    slots.Clear();
                });
            Each(count, i =>
            {
                if (cache.Store(pages[i], i, out int slot) == CompressionOutcome.Stored)
                {
                    slots.Add((slot, i));
                }
            });
            var statistics = cache.Statistics;
            Measure.Line($"store compressed, {compressor.Description}", store, string.Create(
                CultureInfo.InvariantCulture,
                $"{100.0 * slots.Count / count:0} % shrink to half, to {100.0 * statistics.UsedBytes / (slots.Count * 4096.0):0} % of their size ({100.0 * statistics.CompressedBytes / (slots.Count * 4096.0):0} % without rounding)"));
            bool intact = true;
            Measure.Line($"load, {method}", Measure.Best(slots.Count, () => slots.ForEach(one => intact &= cache.TryLoad(one.Slot, other[one.Page]))));
            if (!intact)
            {
                throw new InvalidDataException("A page did not come back.");
            }
        }

        Tool("lz4 -b1 -B4096 (the command, no cache, no check)", "lz4", ["-b1", "-B4096", "-i1", typeof(object).Assembly.Location]);
    }

    private static void Swap(PageSet pages, PageSet other, string folder)
    {
        int count = pages.Count;
        byte[] tag = new byte[16], nonce = new byte[12];
        using (var cipher = new AesGcm(RandomNumberGenerator.GetBytes(32), tag.Length))
        {
            Measure.Line("AES-256-GCM alone", Measure.Best(count, () => Each(
                count, i => cipher.Encrypt(nonce, new ReadOnlySpan<byte>(pages[i], 4096), new Span<byte>(other[i], 4096), tag))));
        }

        Tool("openssl speed -evp aes-256-gcm -bytes 4096", "openssl", ["speed", "-seconds", "1", "-bytes", "4096", "-evp", "aes-256-gcm"]);
        string path = Path.Combine(folder, $"benchmark-{Environment.ProcessId}.vswp");
        double plainWrite, plainRead, plainSingle;
        using (var storage = FileSwapStorage.Create(path))
        {
            const int Batch = SwapFile.BatchPages, Cluster = SwapFile.ClusterPages;
            plainWrite = Measure.Best(count, () => EachBatch(count, Batch, (i, n) => Check(storage.Write(pages[i], n * 4096, i * 4096L), n)), () => storage.Punch(0, count * 4096L));
            Measure.Line("plain pwrite of 256 pages, new blocks", plainWrite);
            EachBatch(count, Batch, (i, n) => Check(storage.Write(pages[i], n * 4096, i * 4096L), n));
            plainRead = Measure.Best(count, () => EachBatch(count, Cluster, (i, n) => Check(storage.Read(other[i], n * 4096, i * 4096L), n)));
            Measure.Line("plain pread of 32 pages", plainRead);
            plainSingle = Measure.Best(count, () => Each(count, i => Check(storage.Read(other[i], 4096, i * 4096L), 1)));
            Measure.Line("plain pread of 1 page", plainSingle);
        }

        using var swap = SwapFile.Create(path, count);
        int[] slots = new int[count];
        double write = Measure.Best(
            count,
            () => EachBatch(count, SwapFile.BatchPages, (i, n) => Check(swap.Write(pages.Addresses.AsSpan(i, n), slots.AsSpan(i, n), out _))),
            () => swap.Free(slots));
        Measure.Line("swap write of 256 pages", write, Measure.Against(write, plainWrite, "plain"));
        Check(swap.Write(pages.Addresses, slots, out _));
        double read = Measure.Best(count, () => EachBatch(
            count, SwapFile.ClusterPages, (i, n) => Check(swap.Read(slots.AsSpan(i, n), other.Addresses.AsSpan(i, n), out _))));
        Measure.Line("swap read of 32 pages", read, Measure.Against(read, plainRead, "plain"));
        double single = Measure.Best(count, () => Each(count, i => Check(swap.Read(slots[i], other[i]))));
        Measure.Line("swap read of 1 page", single, Measure.Against(single, plainSingle, "plain"));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Each(count, i => Check(swap.Read(slots[i], other[i])));
        Console.WriteLine();
        Console.WriteLine($"Allocated by {count} reads: {GC.GetAllocatedBytesForCurrentThread() - before} bytes on the managed heap.");
    }

    private static void Check(SwapResult result)
    {
        if (result != SwapResult.Done)
        {
            throw new IOException($"The swap file answered {result}.");
        }
    }

    private static void Check(long bytes, int pages)
    {
        if (bytes != pages * 4096L)
        {
            throw new IOException($"The file answered {bytes}.");
        }
    }

    private static void Each(int count, Action<int> body)
    {
        for (int i = 0; i < count; i++)
        {
            body(i);
        }
    }

    private static void EachBatch(int count, int size, Action<int, int> body)
    {
        for (int i = 0; i < count; i += size)
        {
            body(i, Math.Min(size, count - i));
        }
    }

    /// <summary>Prints the last line of a tool's own benchmark, where the machine has the tool.</summary>
    private static void Tool(string what, string command, string[] arguments)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(command, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            var errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd() + errors.Result;
            string last = output.Split('\n', '\r').LastOrDefault(line => line.Contains("GCM", StringComparison.Ordinal) || line.Contains("MB/s", StringComparison.Ordinal)) ?? "no figure";
            Console.WriteLine($"| {what} | | | | {last.Trim()} |");
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Console.WriteLine($"| {what} | | | | not installed |");
        }
    }
}
