using Hypervisor.Engine.Native.Compression;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>Pages by the system's libzstd.</summary>
internal sealed unsafe class ZstandardPageCompressor(ZstandardLibrary library) : PageCompressor
{
    // Higher levels gain next to nothing on 4096 bytes.
    private const int Level = 1;

    public override PageCompression Method => PageCompression.Zstandard;

    public override string Description => $"Zstandard {library.Version} ({library.FileName})";

    public override int Compress(Workspace workspace, byte* destination, int capacity) =>
        library.Compress(((Contexts)workspace).Compressor, workspace.Page, PageContent.Size, destination, capacity, Level);

    public override bool Decompress(Workspace workspace, byte* source, int length, byte* page) =>
        library.Decompress(((Contexts)workspace).Decompressor, source, length, page, PageContent.Size) == PageContent.Size;

    protected override Workspace CreateWorkspace() => new Contexts(library);

    private sealed class Contexts : Workspace
    {
        private readonly ZstandardLibrary _library;

        public Contexts(ZstandardLibrary library) : base(0)
        {
            _library = library;
            Compressor = library.CreateCompressor();
            Decompressor = library.CreateDecompressor();
            if (Compressor == 0 || Decompressor == 0)
            {
                Dispose();
                throw new InsufficientMemoryException("There is no memory for a Zstandard context.");
            }
        }

        public nint Compressor { get; private set; }

        public nint Decompressor { get; private set; }

        public override void Dispose()
        {
            // Both take a null pointer.
            _library.FreeCompressor(Compressor);
            _library.FreeDecompressor(Decompressor);
            Compressor = Decompressor = 0;
            base.Dispose();
        }
    }
}
