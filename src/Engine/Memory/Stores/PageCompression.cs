namespace Hypervisor.Engine.Memory.Stores;

/// <summary>Methods of compressing pages.</summary>
internal enum PageCompression
{
    /// <summary>LZ4 of the system's liblz4: fastest.</summary>
    Lz4,

    /// <summary>Zstandard of the system's libzstd: smaller results, slower.</summary>
    Zstandard,

    /// <summary>Brotli of the .NET runtime: everywhere, slowest.</summary>
    Brotli,
}
