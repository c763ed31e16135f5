namespace Hypervisor.Engine.Partitions;

/// <summary>
/// What a virtual processor in software did since power-on, to explain its speed. All numbers only grow but those of the cache. Times
/// of the tiers are sampled, all else is counted.
/// </summary>
public sealed record VirtualProcessorCounters
{
    /// <summary>Name of the machine; empty for a processor that belongs to none.</summary>
    public string VMName { get; init; } = "";

    /// <summary>Index in the machine, from 0.</summary>
    public required int Index { get; init; }

    /// <summary>The backend.</summary>
    public required BackendKind Backend { get; init; }

    /// <summary>Blocks decoded for the interpreter.</summary>
    public required long DecodedBlocks { get; init; }

    /// <summary>Blocks translated to host code.</summary>
    public required long TranslatedBlocks { get; init; }

    /// <summary>Guest instructions in translations that run on the host's processor.</summary>
    public required long CopiedInstructions { get; init; }

    /// <summary>Guest instructions in translations that are left to the interpreter each time.</summary>
    public required long LeftInstructions { get; init; }

    /// <summary>Time spent translating.</summary>
    public required TimeSpan TranslationTime { get; init; }

    /// <summary>Time in the interpreter, with the devices that instructions access: sampled twenty times a second.</summary>
    public required TimeSpan InterpretedTime { get; init; }

    /// <summary>Time in translated code, sampled as <see cref="InterpretedTime"/> is. The rest of the processor's time it is halted or waits.</summary>
    public required TimeSpan TranslatedTime { get; init; }

    /// <summary>Entries into translated code.</summary>
    public required long Entries { get; init; }

    /// <summary>Jumps within a page that were patched to go straight to their target.</summary>
    public required long Links { get; init; }

    /// <summary>Returns from translated code for a branch target that was not known inline, or for something pending.</summary>
    public required long Lookups { get; init; }

    /// <summary>Returns for a memory access that the inline translation buffer did not allow.</summary>
    public required long AccessMisses { get; init; }

    /// <summary>Returns for an instruction that only the interpreter executes.</summary>
    public required long InterpreterExits { get; init; }

    /// <summary>The instructions that translated code returned for, most frequent first.</summary>
    public required InstructionExits[] ExitsByInstruction { get; init; }

    /// <summary>Exceptions delivered to the guest.</summary>
    public required long Exceptions { get; init; }

    /// <summary>External interrupts delivered.</summary>
    public required long Interrupts { get; init; }

    /// <summary>Times the translation buffer was emptied, of all or of local translations.</summary>
    public required long TranslationFlushes { get; init; }

    /// <summary>Single pages taken out of the translation buffer.</summary>
    public required long PageInvalidations { get; init; }

    /// <summary>Times all code was forgotten because the memory map changed, or too many pages of code were written at once.</summary>
    public required long CacheFlushes { get; init; }

    /// <summary>Times the oldest part of the cache (an eighth, unless the cache is very small) was forgotten because it was full.</summary>
    public required long CacheEvictions { get; init; }

    /// <summary>Bytes of host code in the cache now.</summary>
    public required long CodeBytes { get; init; }

    /// <summary>Bytes of decoded blocks and records in the cache now.</summary>
    public required long RecordBytes { get; init; }

    /// <summary>Bytes that the cache may hold.</summary>
    public required long CacheLimit { get; init; }
}

/// <summary>How often translated code returned for an instruction.</summary>
/// <param name="Name">The instruction's form: mnemonic and operand kinds.</param>
/// <param name="Count">Times.</param>
public sealed record InstructionExits(string Name, long Count)
{
    /// <inheritdoc/>
    public override string ToString() => $"{Name}: {Count}";
}
