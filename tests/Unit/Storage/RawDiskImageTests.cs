using Hypervisor.Engine.Native.Files;
using Hypervisor.Engine.Storage;

namespace Hypervisor.Tests.Unit.Storage;

public sealed unsafe class RawDiskImageTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("hypervisor-raw").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void A_missing_file_is_named_with_a_remedy()
    {
        string path = Path.Combine(_folder, "absent.img");
        var error = Assert.Throws<StorageException>(() => RawDiskImage.Open(path));
        Assert.Contains(path, error.Message, StringComparison.Ordinal);
        Assert.Contains("create the file", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_folder_is_refused()
    {
        Assert.Contains("is a folder", Assert.Throws<StorageException>(() => RawDiskImage.Open(_folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_without_a_whole_sector_is_refused()
    {
        Assert.Contains("no sectors", Assert.Throws<StorageException>(() => RawDiskImage.Open(Make(511))).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_disk_in_use_is_refused()
    {
        string path = Make(4096);
        using var first = RawDiskImage.Open(path);
        Assert.Contains("in use", Assert.Throws<StorageException>(() => RawDiskImage.Open(path)).Message, StringComparison.Ordinal);
        Assert.Throws<StorageException>(() => RawDiskImage.Open(path, readOnly: true));
    }

    [Fact]
    public void Readers_share_a_disk_and_keep_writers_out()
    {
        string path = Make(4096);
        using var first = RawDiskImage.Open(path, readOnly: true);
        using var second = RawDiskImage.Open(path, readOnly: true);
        Assert.Throws<StorageException>(() => RawDiskImage.Open(path));
    }

    [Fact]
    public void The_lock_goes_with_the_disk()
    {
        string path = Make(4096);
        RawDiskImage.Open(path).Dispose();
        RawDiskImage.Open(path).Dispose();
    }

    [Fact]
    public void A_partial_last_sector_is_not_part_of_the_disk()
    {
        using var disk = RawDiskImage.Open(Make(1000));
        Assert.Equal(512, disk.Length);
    }

    [Fact]
    public void Scattered_pieces_are_written_and_read_in_order()
    {
        using var disk = RawDiskImage.Open(Make(8192));
        byte[] source = new byte[1536];
        new Random(1).NextBytes(source);
        byte[] target = new byte[1536];
        fixed (byte* s = source, t = target)
        {
            Assert.Equal(DiskStatus.Ok, disk.Write(512, [Piece(s, 100), Piece(s + 100, 0), Piece(s + 100, 1436)]));
            Assert.Equal(DiskStatus.Ok, disk.Read(512, [Piece(t, 1000), Piece(t + 1000, 536)]));
        }

        Assert.Equal(source, target);
        Assert.Equal(DiskStatus.Ok, disk.Flush());
    }

    [Fact]
    public void Ranges_past_the_end_are_refused()
    {
        using var disk = RawDiskImage.Open(Make(4096));
        byte[] bytes = new byte[1024];
        fixed (byte* b = bytes)
        {
            Assert.Equal(DiskStatus.OutOfRange, disk.Read(3584, [Piece(b, 1024)]));
            Assert.Equal(DiskStatus.OutOfRange, disk.Read(-512, [Piece(b, 512)]));
            Assert.Equal(DiskStatus.OutOfRange, disk.Write(0, [new IoVector { Base = (nint)b, Length = nuint.MaxValue }]));
            Assert.Equal(DiskStatus.OutOfRange, disk.Discard(4096, 1));
            Assert.Equal(DiskStatus.OutOfRange, disk.WriteZeroes(long.MaxValue, 512, mayUnmap: true));
        }
    }

    [Fact]
    public void A_read_only_disk_takes_no_writes()
    {
        using var disk = RawDiskImage.Open(Make(4096), readOnly: true);
        byte[] bytes = new byte[512];
        fixed (byte* b = bytes)
        {
            Assert.Equal(DiskStatus.ReadOnly, disk.Write(0, [Piece(b, 512)]));
            Assert.Equal(DiskStatus.ReadOnly, disk.WriteZeroes(0, 512, mayUnmap: false));
            Assert.Equal(DiskStatus.ReadOnly, disk.Discard(0, 512));
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Zeroed_ranges_read_as_zeroes_and_leave_their_neighbours(bool mayUnmap)
    {
        string path = Make(16384, fill: 0xAA);
        using (var disk = RawDiskImage.Open(path))
        {
            Assert.Equal(DiskStatus.Ok, disk.WriteZeroes(512, 9216, mayUnmap));
            Assert.Equal(DiskStatus.Ok, disk.Flush());
        }

        byte[] content = File.ReadAllBytes(path);
        Assert.Equal(16384, content.Length);
        Assert.All(content[..512], b => Assert.Equal(0xAA, b));
        Assert.All(content[512..9728], b => Assert.Equal(0, b));
        Assert.All(content[9728..], b => Assert.Equal(0xAA, b));
    }

    [Fact]
    public void A_file_cut_short_beneath_the_disk_is_an_io_error()
    {
        string path = Make(8192);
        using var disk = RawDiskImage.Open(path, readOnly: true);
        Assert.True(Truncate(path, 4096));
        byte[] bytes = new byte[8192];
        fixed (byte* b = bytes)
        {
            Assert.Equal(DiskStatus.IoError, disk.Read(0, [Piece(b, 8192)]));
        }
    }

    private static IoVector Piece(byte* start, int length) => new() { Base = (nint)start, Length = (nuint)length };

    private static bool Truncate(string path, long length)
    {
        // Another program does not ask for our lock.
        using var process = System.Diagnostics.Process.Start("truncate", ["-s", length.ToString(), path]);
        process.WaitForExit();
        return process.ExitCode == 0;
    }

    private string Make(int bytes, byte fill = 0)
    {
        string path = Path.Combine(_folder, Guid.NewGuid().ToString("N"));
        byte[] content = new byte[bytes];
        Array.Fill(content, fill);
        File.WriteAllBytes(path, content);
        return path;
    }
}
