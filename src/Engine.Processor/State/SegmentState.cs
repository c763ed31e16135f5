using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor;

/// <summary>Segment registers in the order of their encoding, followed by the two system ones.</summary>
public enum SegmentName
{
#pragma warning disable CS1591 // each is the register it is named after
    Es, Cs, Ss, Ds, Fs, Gs, Ldtr, Tr,
#pragma warning restore CS1591
}

/// <summary>A segment register with its hidden part (Intel SDM vol. 3A, 3.4.3).</summary>
[StructLayout(LayoutKind.Sequential)]
public struct SegmentState
{
    /// <summary>Linear base address.</summary>
    public ulong Base;

    /// <summary>Limit in bytes, granularity already applied.</summary>
    public uint Limit;

    /// <summary>
    /// Attributes as in bits 40–55 of a descriptor: type 0–3, S 4, DPL 5–6, P 7, AVL 12, L 13, D/B 14, G 15; bit 16 marks an
    /// unusable (null) register.
    /// </summary>
    public uint Attributes;

    /// <summary>Visible selector.</summary>
    public ushort Selector;

    /// <summary>The register holds a null selector.</summary>
    public const uint Unusable = 1u << 16;

    internal const uint Accessed = 1, Writable = 2, Conforming = 4, ExpandDown = 4, Code = 8, NonSystem = 1 << 4, Present = 1 << 7;
    internal const uint Long = 1 << 13, Big = 1 << 14, Granular = 1 << 15;

    internal readonly int Dpl => (int)(Attributes >> 5) & 3;
    internal readonly int Type => (int)Attributes & 15;
    internal readonly bool IsUsable => (Attributes & Unusable) == 0;
}
