namespace Hypervisor.Engine.Memory;

/// <summary>
/// A partition whose processors ask where a page is, so that memory can be taken from a running machine. Found by casting an
/// <see cref="Partitions.IPartition"/>; without it only the balloon gives memory back.
/// </summary>
public interface IPagedPartition
{
    /// <summary>Lets processors ask for the pages of all writable memory. Once, after memory was mapped and before processors run.</summary>
    /// <returns>Where to say that pages are to be forgotten.</returns>
    IPageTranslations AttachPages(GuestPages pages);
}
