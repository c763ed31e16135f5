using System.Buffers.Binary;
using System.Text;

namespace Hypervisor.Engine.Devices.Acpi;

/// <summary>
/// Encodes the ACPI Machine Language (ACPI 6.5, chapter 20). Each method returns the bytes of one term; terms nest as their arguments do.
/// </summary>
internal static class Aml
{
    private const byte ZeroOp = 0x00, OneOp = 0x01, NameOp = 0x08, BytePrefix = 0x0A, WordPrefix = 0x0B, DWordPrefix = 0x0C, StringPrefix = 0x0D,
        QWordPrefix = 0x0E, ScopeOp = 0x10, BufferOp = 0x11, PackageOp = 0x12, MethodOp = 0x14, ExtendedPrefix = 0x5B, DeviceOp = 0x82,
        Argument0 = 0x68, ReturnOp = 0xA4;

    private const byte RootCharacter = (byte)'\\', DualNamePrefix = 0x2E, MultiNamePrefix = 0x2F;

    /// <summary>An integer in its shortest form.</summary>
    public static byte[] Integer(ulong value)
    {
        Span<byte> bytes = stackalloc byte[8];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return value switch
        {
            0 => [ZeroOp],
            1 => [OneOp],
            <= byte.MaxValue => [BytePrefix, bytes[0]],
            <= ushort.MaxValue => [WordPrefix, .. bytes[..2]],
            <= uint.MaxValue => [DWordPrefix, .. bytes[..4]],
            _ => [QWordPrefix, .. bytes],
        };
    }

    /// <summary>A string of ASCII characters.</summary>
    public static byte[] Text(string text) => [StringPrefix, .. Encoding.ASCII.GetBytes(text), 0];

    /// <summary>A compressed EISA identifier such as <c>PNP0A08</c> (ACPI 6.5, 19.3.4).</summary>
    public static byte[] EisaId(string id)
    {
        int letters = (Letter(id[0]) << 10) | (Letter(id[1]) << 5) | Letter(id[2]);
        ushort number = Convert.ToUInt16(id[3..], 16);
        return [DWordPrefix, (byte)(letters >> 8), (byte)letters, (byte)(number >> 8), (byte)number];

        static int Letter(char character) => character - '@';
    }

    /// <summary><c>Name (name, value)</c>.</summary>
    public static byte[] Name(string name, byte[] value) => [NameOp, .. NameString(name), .. value];

    /// <summary><c>Scope (name) { … }</c>.</summary>
    public static byte[] Scope(string name, params ReadOnlySpan<byte[]> terms) => [ScopeOp, .. WithLength([.. NameString(name), .. Join(terms)])];

    /// <summary><c>Device (name) { … }</c>.</summary>
    public static byte[] Device(string name, params ReadOnlySpan<byte[]> terms) =>
        [ExtendedPrefix, DeviceOp, .. WithLength([.. NameString(name), .. Join(terms)])];

    /// <summary><c>Method (name, arguments, NotSerialized) { … }</c>.</summary>
    public static byte[] Method(string name, int arguments, params ReadOnlySpan<byte[]> terms) =>
        [MethodOp, .. WithLength([.. NameString(name), (byte)arguments, .. Join(terms)])];

    /// <summary><c>Return (value)</c>.</summary>
    public static byte[] Return(byte[] value) => [ReturnOp, .. value];

    /// <summary><c>ArgN</c>.</summary>
    public static byte[] Argument(int index) => [(byte)(Argument0 + index)];

    /// <summary><c>Package () { … }</c> of at most 255 elements.</summary>
    public static byte[] Package(params ReadOnlySpan<byte[]> elements) => [PackageOp, .. WithLength([checked((byte)elements.Length), .. Join(elements)])];

    /// <summary><c>Buffer () { … }</c>.</summary>
    public static byte[] Buffer(ReadOnlySpan<byte> bytes) => [BufferOp, .. WithLength([.. Integer((ulong)bytes.Length), .. bytes])];

    /// <summary>A name: segments of four characters separated by dots, with a backslash before them when it starts at the root.</summary>
    public static byte[] NameString(string name)
    {
        var encoded = new List<byte>();
        if (name.StartsWith('\\'))
        {
            encoded.Add(RootCharacter);
            name = name[1..];
        }

        string[] segments = name.Split('.');
        if (segments.Length == 2)
        {
            encoded.Add(DualNamePrefix);
        }
        else if (segments.Length > 2)
        {
            encoded.AddRange([MultiNamePrefix, (byte)segments.Length]);
        }

        foreach (string segment in segments)
        {
            encoded.AddRange(Encoding.ASCII.GetBytes(segment.PadRight(4, '_')));
        }

        return [.. encoded];
    }

    /// <summary>One term after the other.</summary>
    public static byte[] Join(params ReadOnlySpan<byte[]> terms)
    {
        var joined = new List<byte>();
        foreach (byte[] term in terms)
        {
            joined.AddRange(term);
        }

        return [.. joined];
    }

    /// <summary>Puts the PkgLength before a body; it counts itself too (ACPI 6.5, 20.2.4).</summary>
    private static byte[] WithLength(byte[] body)
    {
        const int OneByteLimit = 0x3F, TwoByteLimit = 0xFFF, ThreeByteLimit = 0xFFFFF;
        int length = body.Length + 1;
        if (length <= OneByteLimit)
        {
            return [(byte)length, .. body];
        }

        length = body.Length + 2;
        if (length <= TwoByteLimit)
        {
            return [(byte)(0x40 | (length & 0xF)), (byte)(length >> 4), .. body];
        }

        length = body.Length + 3;
        return length <= ThreeByteLimit
            ? [(byte)(0x80 | (length & 0xF)), (byte)(length >> 4), (byte)(length >> 12), .. body]
            : throw new ArgumentException($"A term of {body.Length} bytes is longer than tables of this machine get.");
    }
}
