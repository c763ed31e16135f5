using System.Runtime.InteropServices;
using Hypervisor.Engine.Processor.Translation;

namespace Hypervisor.Engine.Processor;

/// <summary>A run of instructions decoded together, entered only at its start.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct Block
{
    /// <summary>The key of a block that was dropped.</summary>
    public const ulong Dropped = ulong.MaxValue;

    /// <summary>Physical address of the first byte, with <see cref="BlockCache"/>'s mode bits on top.</summary>
    public ulong Key;

    /// <summary>Physical page of the first byte.</summary>
    public ulong Page;

    /// <summary>Physical page of the last byte, where an instruction lies across two pages; otherwise <see cref="Page"/>.</summary>
    public ulong SecondPage;

    /// <summary>Next block in the same bucket of keys.</summary>
    public Block* HashNext;

    /// <summary>Next block in the bucket of pages.</summary>
    public Block* PageNext;

    /// <summary>Next block in the bucket of second pages.</summary>
    public Block* SecondPageNext;

    /// <summary>Number of instructions, the closing pseudo-instruction included.</summary>
    public int Count;

    /// <summary>
    /// Runs in the interpreter that are left until the block is translated; 0 for one that never is. Its first instruction then is
    /// the one that counts.
    /// </summary>
    public int Warmth;

    /// <summary>The translation for each <see cref="TranslationSet"/>, or null.</summary>
    public TranslatedBlock* User, Supervisor, SupervisorUser;

    /// <summary>Starts without translations.</summary>
    public void ClearTranslations(int warmth)
    {
        Warmth = warmth;
        User = Supervisor = SupervisorUser = null;
    }

    public readonly bool CrossesPage => Page != SecondPage;

    /// <summary>The place of the translation for a set.</summary>
    public static TranslatedBlock** Translation(Block* block, int set) => &block->User + set;

    /// <summary>The instructions follow the header.</summary>
    public static DecodedInstruction* First(Block* block) => (DecodedInstruction*)(block + 1);
}
