using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Processor.Translation;

/// <summary>A block in the host's code, for one translation set. Followed by its sites.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TranslatedBlock
{
    /// <summary>What it was made from.</summary>
    public Block* Block;

    /// <summary>Entered here from anywhere, with the linear address in <see cref="HostRegister.Address"/>.</summary>
    public byte* Entry;

    /// <summary>Entered here from the same linear page, and by the dispatcher.</summary>
    public byte* Direct;

    /// <summary>Length of the code in bytes, from <see cref="Entry"/>.</summary>
    public int Length;

    /// <summary>Instructions of the block, each with a <see cref="TranslatedSite"/>.</summary>
    public int Count;

    /// <summary>The translation set it runs with.</summary>
    public int Set;

    /// <summary>Where it left last, as bytes from <see cref="Entry"/>, and for which instruction: mostly it is the same again.</summary>
    public int LeftAt, LeftFor;

    /// <summary>The vector registers must be loaded where it is entered in the middle.</summary>
    public bool UsesVectors;

    /// <summary>AVX among them.</summary>
    public bool UsesAvx;

    public static TranslatedSite* Sites(TranslatedBlock* block) => (TranslatedSite*)(block + 1);
}

/// <summary>Where an instruction is in the host's code, and what it does with memory first.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct TranslatedSite
{
    /// <summary>Bytes from <see cref="TranslatedBlock.Entry"/>.</summary>
    public int Offset;

    /// <summary>
    /// Where it goes on here after an interpreted instruction: the same, or in the version without windows. 0 for the closing one of
    /// a block that ends with a branch.
    /// </summary>
    public int Resume;

    /// <summary>Bytes of the memory access; 0 for none.</summary>
    public byte Size;

    public TranslatedAccess Access;

    /// <summary>The operand must be a multiple of its size, or the instruction raises #GP before anything else.</summary>
    public bool IsAligned;

    /// <summary>It leaves when its target is not known, or attention is wanted.</summary>
    public bool IsBranch;

    /// <summary>The interpreter executes it.</summary>
    public bool IsInterpreted;
}

/// <summary>Which address a memory access goes to, and how.</summary>
internal enum TranslatedAccess : byte
{
    None,
    Read,
    Write,
    Push,
    Pop,
}

/// <summary>A jump of translated code whose target lies in the same page and was not yet translated.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct TranslatedLink
{
    /// <summary>The block that jumps.</summary>
    public TranslatedBlock* From;

    /// <summary>The four bytes to patch, where they are executed.</summary>
    public byte* Place;

    /// <summary>The target's offset in its page.</summary>
    public int Target;

    /// <summary>The translation set at the target.</summary>
    public int Set;
}

/// <summary>Why translated code came back.</summary>
internal enum TranslatedExit
{
    /// <summary>An instruction is for the interpreter: it missed in the translation buffer, or always is.</summary>
    Instruction,
    /// <summary>A jump in the same page has no translated target yet.</summary>
    Link,
    /// <summary>A block was entered that had been dropped: the address is in RIP, and a table of targets still names it.</summary>
    Retired,
}
