using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor;

/// <summary>
/// A translation of one linear page. Tags are the page's linear address where that access needs no further check, otherwise
/// <see cref="Invalid"/>; so the fast path is one compare and one addition.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TlbEntry
{
    /// <summary>No page has this address.</summary>
    public const ulong Invalid = 1;

    public ulong ReadTag, WriteTag;

    /// <summary>Host address minus linear address.</summary>
    public ulong Addend;

    /// <summary>The page's <see cref="PageAttributes"/>; a store goes the slow way unless they are zero.</summary>
    public byte* Attributes;
}

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

/// <summary>The direct-mapped translation buffers of a processor: three sets one after another.</summary>
internal static class TranslationBuffer
{
    public const int Entries = 1024;
    public const int Sets = 3;
    public const ulong IndexMask = Entries - 1;
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
