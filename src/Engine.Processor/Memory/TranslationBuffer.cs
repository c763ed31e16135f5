namespace Hypervisor.Engine.Processor;

/// <summary>Which pages an access may touch; one set of translations each, so that a change of privilege only changes a pointer.</summary>
internal enum TranslationSet
{
    /// <summary>CPL 3.</summary>
    User,
    /// <summary>CPL 0–2, user pages out of reach (SMAP).</summary>
    Supervisor,
    /// <summary>CPL 0–2 without SMAP or with AC.</summary>
    SupervisorUser,
}

/// <summary>
/// The shape of a processor's direct-mapped translation buffers, three sets one after another. A set is three arrays, indexed by
/// the low bits of the page number: tags of pages that may be read, of pages that may be written, and host address minus linear
/// address. A tag is the negated linear address of its page, so that adding an address leaves the offset within the page, and
/// anything else is too large: one addition and one comparison decide, and translated code does both without touching flags.
/// </summary>
/// <remarks>
/// A write tag also says that nobody wants to know of stores to that page (see <see cref="PageAttributes"/>). Whoever sets an
/// attribute has the write tags taken away afterwards, by each processor itself (see <see cref="SafePoints"/>): entering a tag is followed
/// by a full fence and another look at the attributes, so that one of the two sees the other.
/// </remarks>
internal static unsafe class TranslationBuffer
{
    public const int IndexBits = 12;
    public const int Entries = 1 << IndexBits;
    public const int Sets = 3;
    public const ulong IndexMask = Entries - 1;
    public const int PageBits = 12;
    public const ulong PageBytes = 1 << PageBits;

    /// <summary>Of a set's arrays in units of 8 bytes: read tags come first.</summary>
    public const int WriteTags = Entries, Addends = 2 * Entries, SetLength = 3 * Entries;

    /// <summary>
    /// A tag that no access matches, because the addresses that would belong to another entry: zero is page 0's tag, met only by
    /// addresses of that page and by accesses that run into it from the page before. Those two entries take page 2's.
    /// </summary>
    public static ulong Invalid(int entry) => entry is 0 or Entries - 1 ? unchecked(0 - (2 * PageBytes)) : 0;

    /// <summary>Empties a set.</summary>
    public static void Clear(ulong* set)
    {
        // As in Remove.
        Interlocked.MemoryBarrier();
        // SAFETY: a set's two arrays of tags lie side by side.
        new Span<ulong>(set, 2 * Entries).Clear();
        Remove(set, 0);
        Remove(set, Entries - 1);
    }

    /// <summary>Takes an entry out.</summary>
    public static void Remove(ulong* set, int entry)
    {
        set[entry] = Invalid(entry);
        RemoveWrite(set, entry);
    }

    /// <summary>Takes an entry's write tag away. Whoever sees that it is gone sees what was stored through it.</summary>
    public static void RemoveWrite(ulong* set, int entry) => Volatile.Write(ref set[WriteTags + entry], Invalid(entry));
}

/// <summary>How memory is accessed, for permission checks.</summary>
internal enum AccessKind
{
    Read,
    Write,
    Execute,
}

/// <summary>What kind of page a translation came from.</summary>
[Flags]
internal enum PageKind : byte
{
    None = 0,
    /// <summary>Survives loads of CR3.</summary>
    Global = 1,
    /// <summary>2 MB or 4 MB; forgotten in units of 4 MB.</summary>
    Large = 2,
    /// <summary>1 GB.</summary>
    Huge = 4,
}
