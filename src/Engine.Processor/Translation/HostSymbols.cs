using System.Reflection;
using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

/// <summary>Names for what translated code refers to: fields of the state behind the stack pointer, and where jumps go.</summary>
internal sealed unsafe class HostSymbols : ISymbolResolver
{
    private static readonly Dictionary<int, string> Fields = FindFields();

    private readonly int _buffers, _targets;
    private readonly TranslationStubs? _stubs;

    /// <summary>Makes the names for a processor.</summary>
    public HostSymbols(ProcessorMemory memory, TranslationStubs? stubs)
    {
        _stubs = stubs;
        _buffers = (int)((byte*)memory.TranslationBuffers - (byte*)memory.State);
        _targets = (int)(memory.TargetTables - (byte*)memory.State);
    }

    /// <summary>The translation that is listed.</summary>
    public TranslatedBlock* Block { get; set; }

    /// <inheritdoc/>
    public bool TryGetSymbol(in Instruction instruction, int operand, int instructionOperand, ulong address, int addressSize, out SymbolResult symbol)
    {
        string? name = null;
        ulong at = address;
        if (instructionOperand >= 0 && instruction.GetOpKind(instructionOperand) == OpKind.NearBranch64)
        {
            name = NameTarget(instruction, address);
        }
        else if (instructionOperand >= 0 && instruction.GetOpKind(instructionOperand) == OpKind.Memory && instruction.MemoryBase == Register.RSP)
        {
            (name, int offset) = NameState((int)address + ProcessorMemory.StackBias);
            at = address - (ulong)offset;
        }

        symbol = name is null ? default : new SymbolResult(at, name);
        return name is not null;
    }

    private string NameTarget(in Instruction instruction, ulong target)
    {
        long offset = (long)(target - (ulong)Block->Entry);
        if (offset >= 0 && offset < Block->Length)
        {
            return $".{offset:x}";
        }

        if (_stubs is not null && target == (ulong)_stubs.Link)
        {
            return "link";
        }

        // What calls comes back behind the call; what jumps away within its own code does not.
        return instruction.Mnemonic == Mnemonic.Call ? "interpreter" : $"block_{target:x}";
    }

    private (string? Name, int Offset) NameState(int offset) =>
        offset >= _targets ? ("targets", offset - _targets)
        : offset >= _buffers ? ("tlb", offset - _buffers)
        : Fields.TryGetValue(offset, out string? name) ? (name, 0)
        : (null, 0);

    // Those that the translator uses are named where it finds them.
    private static Dictionary<int, string> FindFields()
    {
        var fields = new Dictionary<int, string>();
        foreach (FieldInfo field in typeof(StateLayout).GetFields(BindingFlags.Public | BindingFlags.Static))
        {
            if (field.GetValue(null) is int offset)
            {
                fields[offset] = field.Name;
            }
        }

        for (int number = 0; number < 16; number++)
        {
            fields[StateLayout.Register(number)] = $"guest.{(Register.RAX + number).ToString().ToLowerInvariant()}";
        }

        for (int segment = 0; segment < 6; segment++)
        {
            fields[StateLayout.SegmentBase((SegmentName)segment)] = $"{(SegmentName)segment}.Base";
        }

        return fields;
    }
}
