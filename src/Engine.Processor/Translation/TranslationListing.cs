using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

/// <summary>Writes blocks down, the guest's instructions beside the host's.</summary>
internal sealed unsafe class TranslationListing
{
    private readonly FetchBuffer _code = new();
    private readonly StringOutput _text = new();
    private readonly NasmFormatter _guestFormatter;
    private readonly NasmFormatter _hostFormatter;
    private readonly HostSymbols _symbols;
    private readonly List<string> _guest = [];
    private Block* _block;
    private ulong _start;
    private int _first;

    /// <summary>Makes an empty listing.</summary>
    /// <param name="memory">What the host's code refers to.</param>
    /// <param name="stubs">What it leaves through.</param>
    public TranslationListing(ProcessorMemory memory, TranslationStubs? stubs)
    {
        _symbols = new HostSymbols(memory, stubs);
        _guestFormatter = MakeFormatter(null);
        _hostFormatter = MakeFormatter(_symbols);
    }

    /// <summary>What was written.</summary>
    public List<TranslationLine> Lines { get; } = [];

    /// <summary>Lists code that no block was made of, up to its first branch.</summary>
    public static List<TranslationLine> Undecoded(ulong address, int bits, byte* bytes, int count, int limit)
    {
        var lines = new List<TranslationLine> { new(address, null, $"; 0x{address:x} has not been executed, or was forgotten since", "") };
        var code = new FetchBuffer();
        code.Set(bytes, count);
        var decoder = Decoder.Create(bits, code, address);
        NasmFormatter formatter = MakeFormatter(null);
        var text = new StringOutput();
        while (lines.Count <= limit)
        {
            decoder.Decode(out Instruction instruction);
            if (instruction.IsInvalid && decoder.LastError == DecoderError.NoMoreBytes)
            {
                break;
            }

            lines.Add(new TranslationLine(instruction.IP, null, Format(formatter, text, instruction), ""));
            if (instruction.IsInvalid || instruction.FlowControl != FlowControl.Next)
            {
                break;
            }
        }

        return lines;
    }

    /// <summary>Turns to a block.</summary>
    /// <param name="block">The block.</param>
    /// <param name="start">Linear address of its first byte.</param>
    /// <param name="bits">16, 32 or 64.</param>
    /// <param name="bytes">Its bytes as they are in memory now.</param>
    /// <param name="count">How many these are; 0 where the memory has gone.</param>
    public void Begin(Block* block, ulong start, int bits, byte* bytes, int count)
    {
        _block = block;
        _start = start;
        // What counts the runs of a block that may be translated comes first and stands for no bytes.
        _first = Block.First(block)->Length == 0 ? 1 : 0;
        _guest.Clear();
        _code.Set(bytes, count);
        var decoder = Decoder.Create(bits, _code, start);
        bool same = true;
        for (int n = _first; n < _block->Count - 1; n++)
        {
            DecodedInstruction* i = Block.First(_block) + n;
            decoder.Decode(out Instruction instruction);
            // The guest may have stored to its code; what is known of the old is its form.
            same &= instruction.Code == i->Code && instruction.Length == i->Length;
            string prefix = $"0x{start + i->Offset:x}  ";
            _guest.Add(prefix + (same ? Format(_guestFormatter, _text, instruction) : $"{i->Code} (changed in memory)"));
        }
    }

    /// <summary>Lists the block as the interpreter has it.</summary>
    public void AddInterpreted()
    {
        string reason = _first == 0 || _block->Warmth == 0 ? "not to be translated" : $"translated after {_block->Warmth} more runs";
        Lines.Add(new TranslationLine(_start, null, $"; block at 0x{_start:x}: interpreted, {reason}", ""));
        for (int n = 0; n < _guest.Count; n++)
        {
            Lines.Add(new TranslationLine(AddressOf(_first + n), null, _guest[n], ""));
        }
    }

    /// <summary>Lists one translation of the block.</summary>
    public void AddTranslated(TranslatedBlock* translation)
    {
        Lines.Add(new TranslationLine(_start, 0, $"; block at 0x{_start:x}: translated ({(TranslationSet)translation->Set}), {translation->Length} bytes at 0x{(ulong)translation->Entry:x}", ""));
        List<(int Offset, int Index)> places = FindPlaces(translation);
        _symbols.Block = translation;
        _code.Set(translation->Entry, translation->Length);
        var decoder = Decoder.Create(64, _code, (ulong)translation->Entry);
        int next = 0;
        ulong address = _start;
        string guest = "; entry";
        while (decoder.IP < (ulong)translation->Entry + (ulong)translation->Length)
        {
            int offset = (int)(decoder.IP - (ulong)translation->Entry);
            for (; next < places.Count && places[next].Offset <= offset; next++)
            {
                if (guest.Length > 0 && offset > 0)
                {
                    // No code was needed for it.
                    Lines.Add(new TranslationLine(address, offset, guest, ""));
                }

                int index = places[next].Index;
                if (index == 1 && next > 0)
                {
                    Lines.Add(new TranslationLine(_start, offset, "; the same, each access checked by itself", ""));
                }

                address = AddressOf(index);
                guest = index - _first < _guest.Count ? _guest[index - _first] : "; end";
            }

            decoder.Decode(out Instruction instruction);
            if (instruction.IsInvalid && instruction.Length == 0)
            {
                break;
            }

            Lines.Add(new TranslationLine(address, offset, guest, Format(_hostFormatter, _text, instruction)));
            guest = "";
        }
    }

    // Where each instruction's code begins: once, or with and without windows.
    private static List<(int Offset, int Index)> FindPlaces(TranslatedBlock* translation)
    {
        TranslatedSite* sites = TranslatedBlock.Sites(translation);
        var places = new List<(int Offset, int Index)>();
        bool twice = sites[1].Offset != sites[1].Resume;
        for (int n = 1; n < translation->Count; n++)
        {
            if (sites[n].Resume == 0)
            {
                // The closing one of a block that ends with a branch has no code.
                continue;
            }

            places.Add((sites[n].Resume, n));
            if (twice && sites[n].Offset != int.MaxValue)
            {
                places.Add((sites[n].Offset, n));
            }
        }

        places.Sort();
        return places;
    }

    private ulong AddressOf(int index) => _start + Block.First(_block)[index].Offset;

    private static string Format(NasmFormatter formatter, StringOutput text, in Instruction instruction)
    {
        formatter.Format(instruction, text);
        return text.ToStringAndReset();
    }

    private static NasmFormatter MakeFormatter(ISymbolResolver? symbols)
    {
        var formatter = new NasmFormatter(symbols!);
        formatter.Options.HexPrefix = "0x";
        formatter.Options.HexSuffix = null;
        formatter.Options.UppercaseHex = false;
        formatter.Options.SpaceAfterOperandSeparator = true;
        formatter.Options.SmallHexNumbersInDecimal = true;
        formatter.Options.ShowBranchSize = false;
        formatter.Options.BranchLeadingZeros = false;
        return formatter;
    }
}
