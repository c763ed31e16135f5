using System.Buffers.Text;
using System.Globalization;

namespace Hypervisor.Engine.Native.Memory;

/// <summary>Where this process's memory is in huge pages that the kernel made by itself (proc_pid_smaps(5)). Linux; elsewhere there are none.</summary>
public sealed class HugePageMap
{
    private const string Path = "/proc/self/smaps";
    private const int BufferBytes = 1 << 16, BytesPerKB = 1024;

    private readonly List<(ulong First, ulong End, long Bytes)> _mappings = [];

    private HugePageMap()
    {
    }

    /// <summary>Reads what is so now. It costs a look at all mappings of the process: some milliseconds.</summary>
    /// <returns>Null where the system does not tell.</returns>
    public static HugePageMap? TryRead()
    {
        try
        {
            return OperatingSystem.IsLinux() ? Read() : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    /// <summary>Bytes of a range that are in huge pages. Where the kernel made one mapping of it and of what lies beside it, the part that falls to it.</summary>
    /// <param name="address">First byte.</param>
    /// <param name="length">Bytes.</param>
    public long BytesIn(nint address, nuint length)
    {
        ulong first = (ulong)address, end = first + length;
        double sum = 0;
        foreach (var mapping in _mappings)
        {
            ulong from = Math.Max(first, mapping.First), to = Math.Min(end, mapping.End);
            sum += to > from ? mapping.Bytes * ((double)(to - from) / (mapping.End - mapping.First)) : 0;
        }

        return (long)sum;
    }

    private static HugePageMap Read()
    {
        var map = new HugePageMap();
        using var file = File.OpenHandle(Path);
        byte[] buffer = new byte[BufferBytes];
        (ulong First, ulong End) mapping = default;
        long position = 0;
        for (int kept = 0, read; (read = RandomAccess.Read(file, buffer.AsSpan(kept), position)) > 0;)
        {
            position += read;
            var rest = buffer.AsSpan(0, kept + read);
            for (int end; (end = rest.IndexOf((byte)'\n')) >= 0; rest = rest[(end + 1)..])
            {
                map.Take(rest[..end], ref mapping);
            }

            // No line is longer than a path may be, so there always is room for another.
            rest.CopyTo(buffer);
            kept = rest.Length;
        }

        return map;
    }

    // "7f0000000000-7f0000200000 rw-p ...", then lines of the mapping such as "AnonHugePages:      2048 kB".
    private void Take(ReadOnlySpan<byte> line, ref (ulong First, ulong End) mapping)
    {
        ReadOnlySpan<byte> field = "AnonHugePages:"u8;
        if (line.StartsWith(field))
        {
            if (Utf8Parser.TryParse(line[field.Length..].TrimStart((byte)' '), out long kilobytes, out _) && kilobytes > 0)
            {
                _mappings.Add((mapping.First, mapping.End, kilobytes * BytesPerKB));
            }
        }
        else if (line.Length > 0 && line[0] is not (>= (byte)'A' and <= (byte)'Z') && line.IndexOf((byte)'-') is var dash and > 0
            && line.IndexOf((byte)' ') is var space && space > dash
            && ulong.TryParse(line[..dash], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong first)
            && ulong.TryParse(line[(dash + 1)..space], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out ulong end))
        {
            mapping = (first, end);
        }
    }
}
