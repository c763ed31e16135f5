using Hypervisor.Engine.Native.Compression;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>Pages by the system's liblz4.</summary>
internal sealed unsafe class Lz4PageCompressor(Lz4Library library) : PageCompressor
{
    public override PageCompression Method => PageCompression.Lz4;

    public override string Description => $"LZ4 {library.Version} ({library.FileName})";

    public override int Compress(Workspace workspace, byte* destination, int capacity) =>
        library.Compress(workspace.State, workspace.Page, PageContent.Size, destination, capacity);

    public override bool Decompress(Workspace workspace, byte* source, int length, byte* page) =>
        library.Decompress(source, length, page, PageContent.Size) == PageContent.Size;

    protected override Workspace CreateWorkspace() => new(library.StateBytes);
}
