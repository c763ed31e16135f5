using Hypervisor.Engine.Native;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>
/// Compresses single pages with what the system has: liblz4, else libzstd, else the runtime's Brotli, so that compression is always
/// there. Thread-safe. <see cref="Default"/> lives as long as the process; who makes another disposes of it.
/// </summary>
internal abstract unsafe class PageCompressor : IDisposable
{
    private static readonly Lazy<PageCompressor> Best = new(() =>
        TryCreate(PageCompression.Lz4) ?? TryCreate(PageCompression.Zstandard) ?? new BrotliPageCompressor());

    private readonly ObjectPool<Workspace> _workspaces;

    protected PageCompressor() => _workspaces = new ObjectPool<Workspace>(CreateWorkspace);

    /// <summary>The fastest one that this system has.</summary>
    public static PageCompressor Default => Best.Value;

    /// <summary>Which method it is.</summary>
    public abstract PageCompression Method { get; }

    /// <summary>Method, version and library, for people.</summary>
    public abstract string Description { get; }

    /// <summary>A compressor of one method; null where the system lacks the library.</summary>
    public static PageCompressor? TryCreate(PageCompression method) => method switch
    {
        PageCompression.Lz4 => Native.Compression.Lz4Library.Instance is { } lz4 ? new Lz4PageCompressor(lz4) : null,
        PageCompression.Zstandard => Native.Compression.ZstandardLibrary.Instance is { } zstd ? new ZstandardPageCompressor(zstd) : null,
        PageCompression.Brotli => new BrotliPageCompressor(),
        _ => throw new ArgumentOutOfRangeException(nameof(method)),
    };

    /// <summary>
    /// Compresses a page, which may change meanwhile: what is compressed is then some mixture. Bytes written, 0 when it does not
    /// shrink to <paramref name="capacity"/>.
    /// </summary>
    public int Compress(byte* page, byte* destination, int capacity)
    {
        var workspace = Rent();
        try
        {
            PageContent.Copy(page, workspace.Page);
            return Compress(workspace, destination, capacity);
        }
        finally
        {
            Return(workspace);
        }
    }

    /// <summary>Makes the page again; false when the bytes are not what <see cref="Compress(byte*, byte*, int)"/> wrote, and the page is undefined then.</summary>
    public bool Decompress(byte* source, int length, byte* page)
    {
        var workspace = Rent();
        try
        {
            return Decompress(workspace, source, length, page);
        }
        finally
        {
            Return(workspace);
        }
    }

    /// <summary>Takes a workspace, for callers that keep data in it between steps.</summary>
    public Workspace Rent() => _workspaces.Rent();

    /// <summary>Gives a workspace back.</summary>
    public void Return(Workspace workspace) => _workspaces.Return(workspace);

    /// <summary>Compresses <see cref="Workspace.Page"/>; bytes written, or 0.</summary>
    public abstract int Compress(Workspace workspace, byte* destination, int capacity);

    /// <summary>Makes a page again.</summary>
    public abstract bool Decompress(Workspace workspace, byte* source, int length, byte* page);

    /// <inheritdoc/>
    public void Dispose() => _workspaces.Dispose();

    /// <summary>Makes what one thread needs during one operation.</summary>
    protected virtual Workspace CreateWorkspace() => new(0);

    /// <summary>What one thread needs during one operation.</summary>
    internal class Workspace : IDisposable
    {
        private readonly AnonymousMemory _memory;

        public Workspace(int stateBytes) =>
            _memory = AnonymousMemory.Allocate(((nuint)stateBytes + 2 * PageContent.Size + PageContent.Size - 1) & ~(nuint)(PageContent.Size - 1));

        /// <summary>A page that is the caller's alone: libraries are not made for a source that changes under them.</summary>
        public byte* Page => (byte*)_memory.Address;

        /// <summary>Room for a compressed page.</summary>
        public byte* Compressed => Page + PageContent.Size;

        /// <summary>The method's own.</summary>
        public byte* State => Compressed + PageContent.Size;

        public virtual void Dispose() => _memory.Dispose();
    }
}
