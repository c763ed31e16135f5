namespace Hypervisor.Engine.Native.Compression;

/// <summary>The system's liblz4 (<c>lz4.h</c>), which needs no state but what the caller brings.</summary>
public sealed unsafe class Lz4Library
{
    private static readonly string[] Names = OperatingSystem.IsWindows() ? ["liblz4.dll", "lz4.dll", "msys-lz4-1.dll"]
        : OperatingSystem.IsMacOS() ? ["liblz4.1.dylib", "/opt/homebrew/lib/liblz4.1.dylib", "/usr/local/lib/liblz4.1.dylib"]
        : ["liblz4.so.1"];

    private static readonly Lazy<Lz4Library?> Loaded = new(Load);

    private readonly delegate* unmanaged<void*, byte*, byte*, int, int, int, int> _compress;
    private readonly delegate* unmanaged<byte*, byte*, int, int, int> _decompress;

    private Lz4Library(string name, nint[] functions)
    {
        int version = ((delegate* unmanaged<int>)functions[0])();
        Version = new Version(version / 10000, version / 100 % 100, version % 100);
        FileName = name;
        StateBytes = ((delegate* unmanaged<int>)functions[1])();
        _compress = (delegate* unmanaged<void*, byte*, byte*, int, int, int, int>)functions[2];
        _decompress = (delegate* unmanaged<byte*, byte*, int, int, int>)functions[3];
    }

    /// <summary>The library; null where the system has none.</summary>
    public static Lz4Library? Instance => Loaded.Value;

    /// <summary>Name under which it was found.</summary>
    public string FileName { get; }

    /// <summary>The library's version.</summary>
    public Version Version { get; }

    /// <summary>Bytes of state that <see cref="Compress"/> needs, aligned to 8 (LZ4_sizeofState).</summary>
    public int StateBytes { get; }

    /// <summary>LZ4_compress_fast_extState at acceleration 1: bytes written, 0 when the result is longer than <paramref name="capacity"/>.</summary>
    /// <param name="state"><see cref="StateBytes"/> that nobody else uses during the call.</param>
    /// <param name="source">What is compressed; must not change during the call.</param>
    /// <param name="length">Its bytes.</param>
    /// <param name="destination">Where the result goes.</param>
    /// <param name="capacity">Bytes there.</param>
    public int Compress(byte* state, byte* source, int length, byte* destination, int capacity) => _compress(state, source, destination, length, capacity, 1);

    /// <summary>LZ4_decompress_safe: bytes written, negative when the source is not what was compressed or does not fit.</summary>
    public int Decompress(byte* source, int length, byte* destination, int capacity) => _decompress(source, destination, length, capacity);

    private static Lz4Library? Load() =>
        CompressionLibrary.TryLoad(Names, ["LZ4_versionNumber", "LZ4_sizeofState", "LZ4_compress_fast_extState", "LZ4_decompress_safe"], out string name) is { } functions
            ? new Lz4Library(name, functions)
            : null;
}
