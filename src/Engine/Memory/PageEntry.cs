namespace Hypervisor.Engine.Memory;

/// <summary>
/// All that is known of a page in one word, so that one compare-and-swap decides every race between who uses the page and who wants
/// to take it away.
/// </summary>
internal readonly record struct PageEntry(ulong Bits)
{
    /// <summary>Added to <see cref="Bits"/> for each pin.</summary>
    public const ulong OnePin = 1ul << PinShift;

    private const int PinShift = 32, StateShift = 56;
    private const ulong PinMask = 0xFF_FFFFul << PinShift, StateMask = 7ul << StateShift;
    private const ulong WatchedBit = 1ul << 60, SampledBit = 1ul << 61, HintableBit = 1ul << 62, Marks = WatchedBit | SampledBit | HintableBit;

    /// <summary>A page nobody has touched or pinned.</summary>
    public PageEntry(PageState state, int index) : this(((ulong)state << StateShift) | (uint)index)
    {
    }

    /// <summary>Where its content is.</summary>
    public PageState State => (PageState)((Bits & StateMask) >> StateShift);

    /// <summary>The frame of a shared page, the slot of a compressed or swapped one.</summary>
    public int Index => (int)(uint)Bits;

    /// <summary>How many users of host addresses there are (devices): the page stays where it is until they are gone.</summary>
    public int Pins => (int)((Bits & PinMask) >> PinShift);

    /// <summary>Whether another pin fits; no honest use comes near.</summary>
    public bool CanPin => (Bits & PinMask) != PinMask;

    /// <summary>
    /// No processor holds a translation of the page (once <see cref="IPageHomes.Watch"/> was told after the mark was set), and nobody
    /// has touched it since.
    /// </summary>
    public bool IsWatched => (Bits & WatchedBit) != 0;

    /// <summary>As <see cref="IsWatched"/>, for the sample from which active memory is estimated.</summary>
    public bool IsSampled => (Bits & SampledBit) != 0;

    /// <summary>As <see cref="IsWatched"/>, since before the guest was last asked which pages are free.</summary>
    public bool IsHintable => (Bits & HintableBit) != 0;

    /// <summary>Nobody wants to know whether it is used.</summary>
    public bool IsUnmarked => (Bits & Marks) == 0;

    /// <summary>Somebody uses it: unmarked.</summary>
    public PageEntry Touched() => new(Bits & ~Marks);

    /// <summary>Watched from now on.</summary>
    public PageEntry Watched() => new(Bits | WatchedBit);

    /// <summary>Watched and part of the sample.</summary>
    public PageEntry Sampled() => new(Bits | WatchedBit | SampledBit);

    /// <summary>Watched from before the guest is asked which pages are free.</summary>
    public PageEntry Hintable() => new(Bits | WatchedBit | HintableBit);

    /// <summary>No longer part of the sample.</summary>
    public PageEntry Unsampled() => new(Bits & ~SampledBit);

    /// <summary>With one pin more.</summary>
    public PageEntry Pinned() => new(Bits + OnePin);

    /// <summary>The same pins and marks, elsewhere.</summary>
    public PageEntry In(PageState state, int index = 0) =>
        new((Bits & ~(StateMask | 0xFFFF_FFFFul)) | ((ulong)state << StateShift) | (uint)index);
}
