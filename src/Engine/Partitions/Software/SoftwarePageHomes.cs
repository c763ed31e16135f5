using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>Pages of a software partition: its processors ask before they use one, and forget when told.</summary>
internal sealed unsafe class SoftwarePageHomes(SoftwarePartition partition, GuestPages pages) : IPageHomes
{
    // A processor looks through all of its translations for each page; forgetting them all is cheaper soon.
    private const int Few = 4;

    /// <inheritdoc/>
    public bool AreAsked => true;

    /// <inheritdoc/>
    public void Engage() => throw new InvalidOperationException();

    /// <inheritdoc/>
    public void FindPresent(Action<int> found) => throw new InvalidOperationException();

    /// <inheritdoc/>
    public void Watch(ReadOnlySpan<int> pageNumbers)
    {
        if (pageNumbers.Length > Few)
        {
            partition.SynchronizeAll();
            return;
        }

        foreach (int page in pageNumbers)
        {
            partition.Synchronize(pages.AddressOf(page) / PhysicalMemoryMap.PageBytes);
        }
    }

    /// <inheritdoc/>
    public void Unwatch(int page)
    {
    }

    /// <inheritdoc/>
    public void Place(int page, byte* content)
    {
        if (content != null)
        {
            Buffer.MemoryCopy(content, pages.HomeOf(page), GuestMemory.PageSize, GuestMemory.PageSize);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
