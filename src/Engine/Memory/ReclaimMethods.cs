namespace Hypervisor.Engine.Memory;

/// <summary>How pages may be taken from a machine; cheaper ways are tried first.</summary>
[Flags]
public enum ReclaimMethods
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>One frame for pages of equal content.</summary>
    Share = 1,

    /// <summary>Into the compression cache, pages that shrink to half or less.</summary>
    Compress = 2,

    /// <summary>Into the swap file.</summary>
    Swap = 4,
}
