using System.Diagnostics.CodeAnalysis;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Native.Memory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>
/// A partition without processors whose pages come and go as the host's kernel likes until the first is to be taken, as on KVM. Nobody is
/// in charge of pages that are not there: tests touch memory through <see cref="GuestMemory"/>.
/// </summary>
internal sealed unsafe class HostPagedPartition(bool usesLargePages = true) : PartitionWithoutProcessors, IPagedPartition, IPageHomes
{
    private GuestPages? _pages;

    /// <summary>It lets go of pages; otherwise nobody keeps books of them.</summary>
    public bool HasPages { get; init; } = true;

    public override BackendKind Backend => BackendKind.Kvm;

    public override PartitionCapabilities Capabilities => new() { UsesLargePages = usesLargePages };

    public bool AreAsked => false;

    public bool TryAttachPages(GuestPages pages, [NotNullWhen(true)] out IPageHomes? homes, out string reason)
    {
        _pages = pages;
        (homes, reason) = (HasPages ? this : null, "the test says so");
        return HasPages;
    }

    public void Engage()
    {
    }

    public void Watch(ReadOnlySpan<int> pages)
    {
    }

    public void Unwatch(int page)
    {
    }

    public void Place(int page, byte* content)
    {
        if (content != null)
        {
            Buffer.MemoryCopy(content, _pages!.HomeOf(page), GuestMemory.PageSize, GuestMemory.PageSize);
        }
    }

    public void FindPresent(Action<int> found)
    {
        using var map = new PageMap();
        foreach (var region in _pages!.Regions.ToArray())
        {
            map.Find(region.Host, (long)(region.Bytes / GuestMemory.PageSize), page => found(region.FirstPage + (int)page));
        }
    }
}
