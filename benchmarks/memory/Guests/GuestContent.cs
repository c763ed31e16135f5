using System.Globalization;
using System.Text;

namespace Hypervisor.Benchmarks.Memory.Guests;

/// <summary>
/// What the guests hold in memory, as disks that they copy it from: programs that all have, text of their own, noise of their own that
/// they do not look at again, and zeroes.
/// </summary>
internal sealed class GuestContent : IDisposable
{
    private const int Megabyte = 1 << 20;

    // What a guest uses beside its files: the kernel, the root file system.
    private const int KernelMB = 56;

    private readonly string _folder = Directory.CreateTempSubdirectory("memory-benchmark").FullName;

    /// <summary>Makes the disks.</summary>
    public GuestContent(GuestsOptions options)
    {
        int sum = Math.Max(8, (options.MemoryMB * options.LoadPercent / 100) - KernelMB);
        (CommonMB, TextMB, NoiseMB) = (sum * 30 / 100, sum * 28 / 100, sum * 20 / 100);
        ZeroMB = sum - CommonMB - TextMB - NoiseMB;
        byte[] common = Programs(CommonMB * Megabyte);
        Disks = [.. Enumerable.Range(0, options.Guests).Select(guest => Write(guest, common))];
        Script = Path.Combine(_folder, "script");
        string script = FormattableString.Invariant($$"""
            mount -t tmpfs -o size=95% none /tmp
            cd /tmp
            dd if=/dev/vda of=common bs=1M count={{CommonMB}} 2>/dev/null
            echo 1 > /proc/sys/vm/drop_caches
            dd if=/dev/vda of=text bs=1M skip={{CommonMB}} count={{TextMB}} 2>/dev/null
            echo 1 > /proc/sys/vm/drop_caches
            dd if=/dev/vda of=noise bs=1M skip={{CommonMB + TextMB}} count={{NoiseMB}} 2>/dev/null
            dd if=/dev/zero of=zero bs=1M count={{ZeroMB}} 2>/dev/null
            echo 1 > /proc/sys/vm/drop_caches
            sha256sum common text > /sums
            echo "filled"
            read go
            for i in $(seq {{options.Rounds}}); do sha256sum -c -s /sums || echo "wrong"; done
            echo "worked"
            read check
            echo "noise $(sha256sum < noise | head -c 16)"
            echo "checked"
            """);
        File.WriteAllText(Script, script.ReplaceLineEndings("\n").PadRight(4096, '\n'));
    }

    /// <summary>A disk for each guest.</summary>
    public IReadOnlyList<string> Disks { get; }

    /// <summary>A disk with the script that guests run.</summary>
    public string Script { get; }

    /// <summary>MB that all guests have.</summary>
    public int CommonMB { get; }

    /// <summary>MB of text.</summary>
    public int TextMB { get; }

    /// <summary>MB of noise.</summary>
    public int NoiseMB { get; }

    /// <summary>MB of zeroes.</summary>
    public int ZeroMB { get; }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static byte[] Programs(int bytes)
    {
        byte[] content = new byte[bytes];
        int done = 0;
        foreach (string file in Directory.EnumerateFiles("/usr/lib/x86_64-linux-gnu", "*.so*").Order(StringComparer.Ordinal))
        {
            if (new FileInfo(file).LinkTarget is null && done < bytes)
            {
                // As a page cache has them: each from the start of a page.
                byte[] program = File.ReadAllBytes(file);
                int count = Math.Min(program.Length, bytes - done);
                program.AsSpan(0, count).CopyTo(content.AsSpan(done));
                done = Math.Min(bytes, (done + count + 4095) & ~4095);
            }
        }

        new Random(1).NextBytes(content.AsSpan(done));
        return content;
    }

    private string Write(int guest, byte[] common)
    {
        string path = Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"disk{guest}"));
        using var file = File.Create(path);
        file.Write(common);
        var random = new Random(guest + 2);
        long end = file.Length + ((long)TextMB * Megabyte);
        var text = new StringBuilder();
        for (int line = 0; file.Length < end; line++)
        {
            text.Clear();
            for (int i = 0; i < 200; i++)
            {
                text.Append(CultureInfo.InvariantCulture, $"2026-11-22T08:{line % 60:00}:{i % 60:00}.{random.Next(1000000):000000} guest{guest} service[{random.Next(30000)}]: request {random.NextInt64():x} took {random.Next(5000)} us, status 200\n");
            }

            byte[] bytes = Encoding.ASCII.GetBytes(text.ToString());
            file.Write(bytes.AsSpan(0, (int)Math.Min(bytes.Length, end - file.Position)));
            file.Flush();
        }

        byte[] noise = new byte[Megabyte];
        for (int i = 0; i < NoiseMB; i++)
        {
            random.NextBytes(noise);
            file.Write(noise);
        }

        return path;
    }
}
