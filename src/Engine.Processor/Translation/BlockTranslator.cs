using Hypervisor.Engine.Native.Memory;
using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

/// <summary>
/// Translates blocks of 64-bit code, and of 32-bit code in flat segments, for a host of the same architecture: instructions are copied, with registers renamed and memory
/// operands sent through the translation buffer; what cannot be copied is left to the interpreter, one instruction at a time. Used
/// on its processor's thread only.
/// </summary>
/// <remarks>
/// The guest's flags live in the host's all the time, so nothing emitted around an instruction may change them: comparisons are
/// additions that leave zero, tested by JRCXZ. docs/processor.md describes the scheme and why it is safe.
/// </remarks>
internal sealed unsafe partial class BlockTranslator : IDisposable
{
    // A block's code is at most this long: 64 instructions of at most about 250 bytes, twice, and its end.
    private const int MaximumBlockBytes = 64 << 10;
    private const int MostRegions = 8, LeastBlocks = 4;
    private const int HostPageBytes = 4096;
    private const int MaximumLinks = 8;
    private const int MaximumInstructions = 72;

    /// <summary>Bytes of a block, at most.</summary>
    public const int MaximumBytes = MaximumInstructions * 15;


    private readonly ExecutableMemory _memory;
    private readonly nint _toExecutable;
    private readonly byte* _first;
    private readonly long _regionBytes;
    private readonly long[] _usedOf;
    private readonly HostAssembler _code = new();
    private readonly Encoder _encoder;
    private readonly FetchBuffer _bytes = new();
    private readonly Decoder _decoder64, _decoder32;
    private readonly InstructionInfoFactory _information = new();
    private readonly TranslationStubs _stubs;
    private readonly int _buffers;
    private readonly ulong* _sets;
    private readonly int _targets;
    private int _region;

    // The region that is being filled, as the block cache's of the same number is.
    private byte* _start, _next, _end;

    // The block at hand.
    private TranslatedBlock* _block;
    private TranslatedSite* _site;
    private byte* _slow;
    private byte* _vectorThunk;
    private int _set;
    private bool _restrictsUserPages;

    // 64-bit code, or 32-bit: there linear addresses, pushed values and stack slots have 32 bits, and what is above is cut off.
    private bool _wide;
    private int _slot;
    private int _remaining;
    private bool _nextIsBranch;
    private VectorUse _vectors;
    private readonly PendingLink[] _links = new PendingLink[MaximumLinks];
    private readonly Instruction[] _instructions = new Instruction[MaximumInstructions];
    private int _linkCount;

    /// <summary>Makes a translator with its code memory.</summary>
    /// <param name="memory">The processor's native memory, which the code refers to.</param>
    /// <param name="codeBytes">Bytes of code memory.</param>
    /// <param name="regions">How many regions that is to be; see <see cref="Regions"/>.</param>
    /// <exception cref="IOException">The host forbids generated code.</exception>
    public BlockTranslator(ProcessorMemory memory, int codeBytes, int regions)
    {
        _memory = ExecutableMemory.Allocate((nuint)codeBytes);
        _toExecutable = _memory.Executable - _memory.Writable;
        _encoder = Encoder.Create(64, _code);
        _decoder64 = Decoder.Create(64, _bytes);
        _decoder32 = Decoder.Create(32, _bytes);
        _buffers = (int)((byte*)memory.TranslationBuffers - (byte*)memory.State);
        _sets = memory.TranslationBuffers;
        _targets = (int)(memory.TargetTables - (byte*)memory.State);
        _code.Start((byte*)_memory.Writable);
        _stubs = new TranslationStubs(_code, _toExecutable, HostFeatures.HasAvx);
        _first = Align(_code.Position);
        _regionBytes = (((byte*)_memory.Writable + codeBytes - _first) / regions) & ~15L;
        _usedOf = new long[regions];
        BeginRegion(0);
    }

    /// <summary>Into how many regions a cache is divided sensibly: each must hold many blocks.</summary>
    public static int Regions(int codeBytes) => Math.Clamp(codeBytes / (LeastBlocks * MaximumBlockBytes), 1, MostRegions);

    public TranslationStubs Stubs => _stubs;

    /// <summary>Bytes of code in the cache, that of retired blocks included.</summary>
    public long CodeBytes
    {
        get
        {
            long used = _next - _start;
            for (int region = 0; region < _usedOf.Length; region++)
            {
                used += region == _region ? 0 : _usedOf[region];
            }

            return used;
        }
    }

    /// <summary>Instructions copied and left to the interpreter, since the start.</summary>
    public long Copied { get; private set; }

    public long Left { get; private set; }

    /// <summary>Forgets all code.</summary>
    public void Clear()
    {
        Array.Clear(_usedOf);
        BeginRegion(0);
    }

    /// <summary>Forgets all code, and gives the memory that it took back to the system.</summary>
    /// <returns>False where the system refuses: the memory stays taken.</returns>
    public bool Release()
    {
        Clear();
        nuint stubs = ((nuint)(_first - (byte*)_memory.Writable) + HostPageBytes - 1) & ~(nuint)(HostPageBytes - 1);
        return _memory.Release(stubs, _memory.Length - stubs);
    }

    /// <summary>Goes on where the oldest code is: nothing may refer to it any more.</summary>
    public void Advance()
    {
        _usedOf[_region] = _next - _start;
        BeginRegion((_region + 1) % _usedOf.Length);
    }

    /// <summary>
    /// Whoever enters this code from anywhere from now on leaves at once, with RIP where he wanted to go: the dispatcher's tables may
    /// still name it.
    /// </summary>
    public void Retire(TranslatedBlock* block)
    {
        byte* entry = block->Entry - _toExecutable;
        *entry = HostAssembler.JumpOpcode;
        HostAssembler.Patch(entry + 1, _stubs.Retired - _toExecutable);
    }

    /// <summary>There is room for another block.</summary>
    public bool HasRoom => _end - _next > MaximumBlockBytes;

    /// <summary>Makes a linked jump go to its target.</summary>
    public void Patch(byte* place, byte* target) => HostAssembler.Patch(place - _toExecutable, target - _toExecutable);

    /// <summary>
    /// Translates a block. Null when it is not worth it, or when its bytes are not those that were decoded any more.
    /// </summary>
    /// <param name="from">A block of 64-bit code, or of 32-bit code that runs in flat segments only.</param>
    /// <param name="set">The translation set it runs with.</param>
    /// <param name="is64Bit">Which of the two.</param>
    /// <param name="restrictsUserPages">SMAP is on, so that the supervisor's sets tell whether AC is set.</param>
    /// <param name="bytes">The guest's code, in memory that nobody else changes.</param>
    /// <param name="length">Bytes of it.</param>
    /// <param name="arena">Where its records go; sufficient room was reserved.</param>
    /// <param name="arenaBytes">What they took of it.</param>
    public TranslatedBlock* Translate(Block* from, int set, bool is64Bit, bool restrictsUserPages, byte* bytes, int length, byte* arena, out int arenaBytes)
    {
        arenaBytes = 0;
        int offset = (int)(from->Key & X86Processor.PageMask);
        DecodedInstruction* first = Block.First(from);
        _bytes.Set(bytes, length);
        Decoder decoder = is64Bit ? _decoder64 : _decoder32;
        decoder.IP = (ulong)offset;
        _block = (TranslatedBlock*)arena;
        *_block = default;
        _block->Block = from;
        _block->Count = from->Count;
        _block->Set = set;
        _set = set;
        _wide = is64Bit;
        _slot = is64Bit ? sizeof(ulong) : sizeof(uint);
        _restrictsUserPages = restrictsUserPages;
        _linkCount = 0;
        TranslatedSite* sites = TranslatedBlock.Sites(_block);
        new Span<byte>(sites, from->Count * sizeof(TranslatedSite)).Clear();
        int count = from->Count - 2;
        for (int n = 0; n < count; n++)
        {
            decoder.Decode(out _instructions[n]);
            if (_instructions[n].Code != first[n + 1].Code || _instructions[n].Length != first[n + 1].Length)
            {
                return null;
            }
        }

        _windows.Analyse(_instructions.AsSpan(0, count), is64Bit);
        _vectors = FindVectorUse(first + 1, count);
        EmitThunks();
        byte* start = _code.Position;
        _block->Entry = start + _toExecutable;
        _code.Lea(HostRegister.Address, HostRegister.Address, -offset);
        _code.StoreState(StateLayout.PageRip, HostRegister.Address);
        _block->Direct = _code.Position + _toExecutable;
        EmitVectorCheck();
        int end = offset + length;
        _plainJumpCount = 0;
        if (_windows.HasWindows)
        {
            _plain = false;
            EmitVersion(sites, count, start, end);
        }

        _plain = true;
        _set = set;
        int copied = EmitVersion(sites, count, start, end);
        if (copied == 0)
        {
            return null;
        }

        for (int n = 0; n < _plainJumpCount; n++)
        {
            HostAssembler.Patch(_plainJumps[n].Place, start + sites[_plainJumps[n].Instruction + 1].Resume);
        }

        Copied += copied;
        Left += count - copied;
        byte* records = (byte*)(sites + from->Count);
        EmitLinkThunks(ref records);
        _block->Length = (int)(_code.Position - start);
        _block->UsesVectors = _vectors != VectorUse.None;
        _block->UsesAvx = _vectors == VectorUse.Avx;
        _next = Align(_code.Position);
        arenaBytes = (int)(records - arena);
        return _block;
    }

    // Emits the instructions, with windows or without; returns how many were copied.
    private int EmitVersion(TranslatedSite* sites, int count, byte* start, int end)
    {
        int copied = 0;
        bool open = true, poll = false;
        _openWindows = 0;
        _heldAfter = WindowAnalysis.None;
        ForgetScratch();
        for (int n = 0; n < count; n++)
        {
            ref readonly Instruction instruction = ref _instructions[n];
            _site = sites + n + 1;
            _number = n;
            _remaining = count - 1 - n;
            _nextIsBranch = _remaining > 0 && _instructions[n + 1].FlowControl != FlowControl.Next;
            _heldBefore = _heldAfter;
            _heldAfter = WindowAnalysis.None;
            _isPlainWork = IsPlainWork(instruction);
            if (!_isPlainWork)
            {
                FlushScratch();
            }

            byte* at = _code.Position;
            _scratch.CopyTo(_scratchBefore, 0);
            Place(_site, (int)(at - start));
            int links = _linkCount, jumps = _plainJumpCount;
            poll = false;
            if (InstructionTable.IsKnown(instruction.Code) && TryEmit(instruction, out open))
            {
                copied++;
                continue;
            }

            _code.Start(at);
            _scratchBefore.CopyTo(_scratch, 0);
            FlushScratch();
            Place(_site, (int)(_code.Position - start));
            _linkCount = links;
            _plainJumpCount = jumps;
            open = poll = true;
            _site->Size = 0;
            _site->IsInterpreted = true;
            _code.Call(_slow);
            if (!_plain)
            {
                // It goes on in the other version.
                for (int rest = n + 2; rest <= count + 1; rest++)
                {
                    sites[rest].Offset = int.MaxValue;
                }

                return copied;
            }
        }

        if (open)
        {
            FlushScratch();
            _site = sites + count + 1;
            Place(_site, (int)(_code.Position - start));
            if (poll)
            {
                // What a device did about an access to it is looked at before the next instruction.
                EmitPoll();
            }

            EmitGoTo(end);
        }

        return copied;
    }

    private void Place(TranslatedSite* site, int offset)
    {
        site->Resume = offset;
        if (!_plain || !_windows.HasWindows)
        {
            site->Offset = offset;
        }
    }

    /// <summary>Room that the records of a translation can take, in bytes.</summary>
    public static int RecordBytes(Block* block) =>
        sizeof(TranslatedBlock) + (block->Count * sizeof(TranslatedSite)) + (MaximumLinks * sizeof(TranslatedLink)) + 64;

    /// <inheritdoc/>
    public void Dispose() => _memory.Dispose();

    private void BeginRegion(int region)
    {
        _region = region;
        _start = _next = _first + (region * _regionBytes);
        _end = _start + _regionBytes;
    }

    private static byte* Align(byte* at) => (byte*)(((nint)at + 15) & ~15);

    // In front of the block: the ways out that name it.
    private void EmitThunks()
    {
        _code.Start(_next);
        _slow = _code.Position;
        _code.MoveImmediate(HostRegister.Count, (ulong)_block);
        _code.Jump(_stubs.Instruction - _toExecutable);
        if (_vectors != VectorUse.None)
        {
            _vectorThunk = _code.Position;
            _code.MoveImmediate(HostRegister.Count, (ulong)_block);
            _code.Jump((_vectors == VectorUse.Avx ? _stubs.LoadAvx : _stubs.LoadSse) - _toExecutable);
        }
    }

    // Where vector registers are not loaded, they are now, or the whole block is left to the interpreter.
    private void EmitVectorCheck()
    {
        if (_vectors != VectorUse.None)
        {
            _code.LoadStateByte(HostRegister.Count, _vectors == VectorUse.Avx ? StateLayout.AvxAbsent : StateLayout.SseAbsent);
            byte* loaded = _code.JumpIfCountZero();
            _code.Call(_vectorThunk);
            _code.Land(loaded);
        }
    }

    private static VectorUse FindVectorUse(DecodedInstruction* i, int count)
    {
        var use = VectorUse.None;
        for (int n = 0; n < count; n++)
        {
            var one = TranslatableInstructions.Vectors(i[n].Code);
            use = one > use ? one : use;
        }

        return use;
    }

    private struct PendingLink
    {
        public byte* Place;
        public int Target;
    }
}
