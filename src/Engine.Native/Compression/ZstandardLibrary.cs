namespace Hypervisor.Engine.Native.Compression;

/// <summary>The system's libzstd (<c>zstd.h</c>).</summary>
public sealed unsafe class ZstandardLibrary
{
    private static readonly string[] Names = OperatingSystem.IsWindows() ? ["libzstd.dll", "zstd.dll"]
        : OperatingSystem.IsMacOS() ? ["libzstd.1.dylib", "/opt/homebrew/lib/libzstd.1.dylib", "/usr/local/lib/libzstd.1.dylib"]
        : ["libzstd.so.1"];

    private static readonly Lazy<ZstandardLibrary?> Loaded = new(Load);

    private readonly nint[] _functions;

    private ZstandardLibrary(string name, nint[] functions)
    {
        int version = (int)((delegate* unmanaged<uint>)functions[0])();
        Version = new Version(version / 10000, version / 100 % 100, version % 100);
        FileName = name;
        _functions = functions;
    }

    /// <summary>The library; null where the system has none.</summary>
    public static ZstandardLibrary? Instance => Loaded.Value;

    /// <summary>Name under which it was found.</summary>
    public string FileName { get; }

    /// <summary>The library's version.</summary>
    public Version Version { get; }

    /// <summary>ZSTD_createCCtx; 0 without memory.</summary>
    public nint CreateCompressor() => ((delegate* unmanaged<nint>)_functions[2])();

    /// <summary>ZSTD_freeCCtx.</summary>
    public void FreeCompressor(nint context) => ((delegate* unmanaged<nint, nuint>)_functions[3])(context);

    /// <summary>ZSTD_createDCtx; 0 without memory.</summary>
    public nint CreateDecompressor() => ((delegate* unmanaged<nint>)_functions[4])();

    /// <summary>ZSTD_freeDCtx.</summary>
    public void FreeDecompressor(nint context) => ((delegate* unmanaged<nint, nuint>)_functions[5])(context);

    /// <summary>ZSTD_compressCCtx: bytes written, 0 when the result is longer than <paramref name="capacity"/>.</summary>
    public int Compress(nint context, byte* source, int length, byte* destination, int capacity, int level) =>
        Result(((delegate* unmanaged<nint, byte*, nuint, byte*, nuint, int, nuint>)_functions[6])(
            context, destination, (nuint)capacity, source, (nuint)length, level), 0);

    /// <summary>ZSTD_decompressDCtx: bytes written, negative when the source is not what was compressed or does not fit.</summary>
    public int Decompress(nint context, byte* source, int length, byte* destination, int capacity) =>
        Result(((delegate* unmanaged<nint, byte*, nuint, byte*, nuint, nuint>)_functions[7])(
            context, destination, (nuint)capacity, source, (nuint)length), -1);

    private int Result(nuint returned, int failure) => ((delegate* unmanaged<nuint, uint>)_functions[1])(returned) != 0 ? failure : (int)returned;

    private static ZstandardLibrary? Load()
    {
        string[] functions =
        [
            "ZSTD_versionNumber", "ZSTD_isError", "ZSTD_createCCtx", "ZSTD_freeCCtx", "ZSTD_createDCtx", "ZSTD_freeDCtx", "ZSTD_compressCCtx", "ZSTD_decompressDCtx",
        ];
        return CompressionLibrary.TryLoad(Names, functions, out string name) is { } addresses ? new ZstandardLibrary(name, addresses) : null;
    }
}
