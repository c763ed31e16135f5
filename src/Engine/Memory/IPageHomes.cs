namespace Hypervisor.Engine.Memory;

/// <summary>
/// The backend's half of taking pages away and bringing them back: how processors are kept from a page, and how content gets to its
/// home. Pages are by number (see <see cref="GuestPages"/>); called from any thread that is not in the guest.
/// </summary>
public unsafe interface IPageHomes : IDisposable
{
    /// <summary>
    /// Processors ask for every page they use. Otherwise they run as long as possible without anybody asking: until <see cref="Engage"/>
    /// pages come and go as the host's kernel likes, and later only stores and pages that are not there are noticed.
    /// </summary>
    bool AreAsked { get; }

    /// <summary>From now on pages can be taken, and whoever uses one that is not there waits for it. Neither this nor <see cref="FindPresent"/> is called where <see cref="AreAsked"/>.</summary>
    void Engage();

    /// <summary>Finds the pages that have content, by a look at each.</summary>
    /// <param name="found">Told of each.</param>
    void FindPresent(Action<int> found);

    /// <summary>
    /// On return no processor uses pages that were marked before the call without asking (or, where they are not asked, stores to them).
    /// </summary>
    void Watch(ReadOnlySpan<int> pages);

    /// <summary>Stores to a page need not be asked about any more; the page is there.</summary>
    void Unwatch(int page);

    /// <summary>Puts content into an empty home; null for zeroes. The page is moving, and the caller's.</summary>
    void Place(int page, byte* content);
}
