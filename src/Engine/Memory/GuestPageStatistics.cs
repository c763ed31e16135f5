namespace Hypervisor.Engine.Memory;

/// <summary>Counters of a machine's pages at one moment. Pages are of 4096 bytes; counts of events are since power-on.</summary>
public sealed record GuestPageStatistics
{
    /// <summary>Pages of guest memory.</summary>
    public required long Pages { get; init; }

    /// <summary>Never written or given back; they take no memory.</summary>
    public required long Untouched { get; init; }

    /// <summary>In memory of the machine's own.</summary>
    public required long Private { get; init; }

    /// <summary>In frames that may serve several pages, those of zeroes and <see cref="MergedByHost"/> among them.</summary>
    public required long Shared { get; init; }

    /// <summary>
    /// Shared pages whose frames are the host kernel's (KSM): merged with equal ones of any program of the host, and on machines offered to
    /// it those that were only ever read and are the kernel's page of zeroes. Counted every few seconds.
    /// </summary>
    public long MergedByHost { get; init; }

    /// <summary>Shared pages of zeroes.</summary>
    public required long SharedZero { get; init; }

    /// <summary>Held compressed.</summary>
    public required long Compressed { get; init; }

    /// <summary>Held in the swap file.</summary>
    public required long Swapped { get; init; }

    /// <summary>Bytes the compressed pages take.</summary>
    public required long CompressedBytes { get; init; }

    /// <summary>Most bytes they may take.</summary>
    public required long CompressionCapacity { get; init; }

    /// <summary>Pages compressed.</summary>
    public required long Compressions { get; init; }

    /// <summary>Pages decompressed because they were used.</summary>
    public required long Decompressions { get; init; }

    /// <summary>Pages written to the swap file.</summary>
    public required long SwapOuts { get; init; }

    /// <summary>Pages read from it because they were used.</summary>
    public required long SwapIns { get; init; }

    /// <summary>Shared pages that became private because they were written.</summary>
    public required long SharedCopies { get; init; }

    /// <summary>Pages the guest gave back by its balloon, or that it reported or hinted to be free.</summary>
    public required long Released { get; init; }

    /// <summary>How long processors waited because the host had no memory to give, over all processors.</summary>
    public required TimeSpan BlockedTime { get; init; }

    /// <summary>
    /// How long processors waited for pages that were swapped or compressed, or until there was memory for a page, over all processors;
    /// <see cref="BlockedTime"/> is in it. A wait counts when it has ended.
    /// </summary>
    public TimeSpan WaitedTime { get; init; }

    /// <summary>Host memory that the machine's pages take for themselves: private pages and what the compressed ones need.</summary>
    public long ConsumedBytes => (Private * (long)GuestMemory.PageSize) + CompressedBytes;
}
