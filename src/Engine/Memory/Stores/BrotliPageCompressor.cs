using System.IO.Compression;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>Pages by the Brotli of the .NET runtime.</summary>
internal sealed unsafe class BrotliPageCompressor : PageCompressor
{
    private const int Quality = 1, WindowBits = 12;

    public override PageCompression Method => PageCompression.Brotli;

    public override string Description => $"Brotli of .NET {Environment.Version}";

    public override int Compress(Workspace workspace, byte* destination, int capacity) =>
        BrotliEncoder.TryCompress(new ReadOnlySpan<byte>(workspace.Page, PageContent.Size), new Span<byte>(destination, capacity), out int written, Quality, WindowBits)
            ? written
            : 0;

    public override bool Decompress(Workspace workspace, byte* source, int length, byte* page) =>
        BrotliDecoder.TryDecompress(new ReadOnlySpan<byte>(source, length), new Span<byte>(page, PageContent.Size), out int written) && written == PageContent.Size;
}
