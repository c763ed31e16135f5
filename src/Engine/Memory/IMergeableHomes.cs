namespace Hypervisor.Engine.Memory;

/// <summary>
/// Page homes whose pages the host's kernel can merge with equal ones (KSM), of other machines and of any program that takes part. Found
/// by casting <see cref="IPageHomes"/>. Called under the lock of reclamation.
/// </summary>
/// <remarks>
/// A merged page loses its protection: a store to it copies the page without anybody hearing of it. <see cref="IPageHomes.Watch"/> is then a
/// help to find idle pages and no more, and what was read of a page is compared with what is taken (<see cref="TryTake"/>).
/// </remarks>
internal unsafe interface IMergeableHomes
{
    /// <summary>The kernel may merge pages now.</summary>
    bool IsOffered { get; }

    /// <summary>Lets the kernel merge pages, or takes apart what it merged, which takes memory for each.</summary>
    /// <returns>False when it stays as it was: the kernel cannot.</returns>
    bool TryOffer(bool offered);

    /// <summary>How many pages take no memory of their own: merged ones, and those of zeroes that were only read. Costs a look at each.</summary>
    long CountMerged();

    /// <summary>Whether a page takes no memory of its own.</summary>
    bool IsMerged(int page);

    /// <summary>Makes a merged page a page of its own, protected as if it had just been watched.</summary>
    void Separate(int page);

    /// <summary>Empties the home of a page that is moving and the caller's, if it still holds what was read of it.</summary>
    /// <returns>False when it was stored to since, or was merged: the page is as it was, and not protected any more.</returns>
    bool TryTake(int page, byte* content);
}
