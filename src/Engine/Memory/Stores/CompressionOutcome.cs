namespace Hypervisor.Engine.Memory.Stores;

/// <summary>What came of storing a page compressed.</summary>
internal enum CompressionOutcome
{
    /// <summary>The page is in the cache.</summary>
    Stored,

    /// <summary>The page does not shrink to half; it goes to swap.</summary>
    TooLarge,

    /// <summary>The cache has no room (or the host no memory); the oldest pages move to swap first.</summary>
    Full,
}
