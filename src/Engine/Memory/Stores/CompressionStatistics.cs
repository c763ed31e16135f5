namespace Hypervisor.Engine.Memory.Stores;

/// <summary>Counts of a machine's compression cache.</summary>
/// <param name="StoredPages">Pages in the cache.</param>
/// <param name="UsedBytes">Memory of the blocks they lie in; never above the capacity for longer than it takes to move pages out after the capacity was lowered.</param>
/// <param name="CapacityBytes">The bound of <paramref name="UsedBytes"/>.</param>
/// <param name="CompressedBytes">Bytes of compressed content; the rest of <paramref name="UsedBytes"/> is rounding and free places.</param>
/// <param name="HeldBytes">Host memory held, with the tables and what is kept at hand.</param>
/// <param name="Compressions">Pages that were compressed since the start, those that did not fit included.</param>
/// <param name="Decompressions">Pages that were decompressed since the start.</param>
/// <param name="TooLarge">Pages that did not shrink to half.</param>
internal readonly record struct CompressionStatistics(
    long StoredPages, long UsedBytes, long CapacityBytes, long CompressedBytes, long HeldBytes, long Compressions, long Decompressions, long TooLarge)
{
    /// <summary>Memory that the cache saves: what its pages would take less what they take.</summary>
    public long SavedBytes => StoredPages * PageContent.Size - UsedBytes;
}
