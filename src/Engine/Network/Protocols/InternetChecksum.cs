using System.Buffers.Binary;
using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Network.Protocols;

/// <summary>The ones' complement sum of IP, ICMP, TCP and UDP (RFC 1071).</summary>
internal static class InternetChecksum
{
    /// <summary>Adds bytes to a running sum. Only the last piece of a message may have an odd length.</summary>
    /// <returns>A sum folded to 16 bits, in big-endian order.</returns>
    public static uint Add(uint sum, ReadOnlySpan<byte> data)
    {
        // The sum is independent of byte order (RFC 1071, 2B): native words are summed and swapped once at the end.
        ulong total = 0;
        var words = MemoryMarshal.Cast<byte, ulong>(data);
        int i = 0;
        for (; i + 4 <= words.Length; i += 4)
        {
            ulong a = words[i], b = words[i + 1], c = words[i + 2], d = words[i + 3];
            total = AddWithCarry(AddWithCarry(AddWithCarry(AddWithCarry(total, a), b), c), d);
        }

        for (; i < words.Length; i++)
        {
            total = AddWithCarry(total, words[i]);
        }

        var rest = data[(words.Length * sizeof(ulong))..];
        while (rest.Length >= 2)
        {
            total = AddWithCarry(total, MemoryMarshal.Read<ushort>(rest));
            rest = rest[2..];
        }

        if (rest.Length == 1)
        {
            total = AddWithCarry(total, BitConverter.IsLittleEndian ? rest[0] : (ulong)rest[0] << 8);
        }

        total = (total & 0xFFFF_FFFF) + (total >> 32);
        total = (total & 0xFFFF_FFFF) + (total >> 32);
        uint folded = Fold((uint)total);
        if (BitConverter.IsLittleEndian)
        {
            folded = BinaryPrimitives.ReverseEndianness((ushort)folded);
        }

        return Fold(Fold(sum) + folded);
    }

    /// <summary>The sum of the pseudo-header of TCP and UDP over IPv4 (RFC 9293, 3.1).</summary>
    public static uint PseudoHeader(uint source, uint destination, byte protocol, int length) =>
        Fold((source >> 16) + (source & 0xFFFF) + (destination >> 16) + (destination & 0xFFFF) + protocol + (uint)length);

    /// <summary>What goes into the checksum field.</summary>
    public static ushort Finish(uint sum) => (ushort)~Fold(sum);

    /// <summary>True when a message including its checksum sums up to all ones.</summary>
    public static bool IsValid(uint sum) => Fold(sum) == 0xFFFF;

    /// <summary>Folds carries into 16 bits.</summary>
    public static uint Fold(uint sum)
    {
        sum = (sum & 0xFFFF) + (sum >> 16);
        return (sum & 0xFFFF) + (sum >> 16);
    }

    private static ulong AddWithCarry(ulong total, ulong value)
    {
        total += value;
        return total < value ? total + 1 : total;
    }
}
