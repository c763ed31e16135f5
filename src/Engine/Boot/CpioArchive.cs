using System.Buffers;
using System.Globalization;
using System.Text;

namespace Hypervisor.Engine.Boot;

/// <summary>
/// Writes a cpio archive in the "newc" format, which Linux takes as an initramfs (Documentation/driver-api/early-userspace/buffer-format).
/// Deterministic: owner root, time 0, inode numbers in order of addition.
/// </summary>
public sealed class CpioArchive
{
    private const uint DirectoryType = 0x4000, FileType = 0x8000, LinkType = 0xA000, CharacterDeviceType = 0x2000;
    private const int HeaderLength = 110;

    private readonly ArrayBufferWriter<byte> _content = new();
    private uint _inode = 1;

    /// <summary>Adds a folder. Parents have to be added first.</summary>
    /// <param name="path">Path without a leading slash.</param>
    /// <param name="mode">Permission bits; 755 (octal) unless given.</param>
    public void AddDirectory(string path, uint mode = 0x1ED) => Add(path, DirectoryType | mode, []);

    /// <summary>Adds a file.</summary>
    /// <param name="path">Path without a leading slash.</param>
    /// <param name="content">Its bytes.</param>
    /// <param name="mode">Permission bits; 644 (octal) unless given.</param>
    public void AddFile(string path, ReadOnlySpan<byte> content, uint mode = 0x1A4) => Add(path, FileType | mode, content);

    /// <summary>Adds a file of text in UTF-8.</summary>
    public void AddText(string path, string text, uint mode = 0x1A4) => AddFile(path, Encoding.UTF8.GetBytes(text), mode);

    /// <summary>Adds a symbolic link.</summary>
    public void AddSymbolicLink(string path, string target) => Add(path, LinkType | 0x1FF, Encoding.UTF8.GetBytes(target));

    /// <summary>Adds a character device, such as console (5, 1).</summary>
    public void AddCharacterDevice(string path, uint major, uint minor, uint mode = 0x180) =>
        Add(path, CharacterDeviceType | mode, [], major, minor);

    /// <summary>The whole archive with its trailer.</summary>
    public byte[] ToArray()
    {
        var whole = new ArrayBufferWriter<byte>(_content.WrittenCount + 1024);
        whole.Write(_content.WrittenSpan);
        WriteEntry(whole, 0, "TRAILER!!!", 0, [], 0, 0);
        Pad(whole, 512);
        return whole.WrittenSpan.ToArray();
    }

    private void Add(string path, uint mode, ReadOnlySpan<byte> content, uint major = 0, uint minor = 0)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        if (path[0] == '/')
        {
            throw new ArgumentException($"'{path}' has a leading slash; paths in an initramfs are relative to its root.", nameof(path));
        }

        WriteEntry(_content, _inode++, path, mode, content, major, minor);
    }

    private static void WriteEntry(ArrayBufferWriter<byte> output, uint inode, string path, uint mode, ReadOnlySpan<byte> content, uint major, uint minor)
    {
        byte[] name = Encoding.UTF8.GetBytes(path + "\0");
        uint links = (mode & 0xF000) == DirectoryType ? 2u : 1u;

        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        ReadOnlySpan<uint> fields =
        [
            inode, mode, 0, 0, links, 0, (uint)content.Length, 0, 0, major, minor, (uint)name.Length, 0,
        ];
        var header = new StringBuilder("070701", HeaderLength);
        foreach (uint field in fields)
        {
            header.Append(field.ToString("x8", CultureInfo.InvariantCulture));
        }

        output.Write(Encoding.ASCII.GetBytes(header.ToString()));
        output.Write(name);
        Pad(output, 4);
        output.Write(content);
        Pad(output, 4);
    }

    private static void Pad(ArrayBufferWriter<byte> output, int boundary)
    {
        int count = (boundary - (output.WrittenCount % boundary)) % boundary;
        output.GetSpan(count + 1)[..count].Clear();
        output.Advance(count);
    }
}
