using System.Diagnostics.CodeAnalysis;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>Gives a memory pages that can be taken from it, for tests of those who use memory and are no processors.</summary>
internal sealed unsafe class PagedMemory : IPagedPartition, IPageHomes
{
    private readonly SharedFrames _frames = new();
    private bool _disposed;

    public PagedMemory(GuestMemory memory) =>
        Pages = new GuestPages(memory, this, 0, new MemoryMeter(), _frames, new CompressionCache((long)memory.TotalBytes), null);

    public GuestPages Pages { get; }

    /// <summary>How many pages devices hold on to.</summary>
    public int Pinned => Enumerable.Range(0, Pages.Count).Count(page => Pages.EntryOf(page).Pins > 0);

    public bool AreAsked => true;

    public bool TryAttachPages(GuestPages pages, [NotNullWhen(true)] out IPageHomes? homes, out string reason)
    {
        (homes, reason) = (this, "");
        return true;
    }

    public void Engage() => throw new InvalidOperationException();

    public void FindPresent(Action<int> found) => throw new InvalidOperationException();

    public void Watch(ReadOnlySpan<int> pages)
    {
    }

    public void Unwatch(int page)
    {
    }

    public void Place(int page, byte* content)
    {
    }

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            Pages.Dispose();
            _frames.Dispose();
        }
    }
}
