using System.Buffers.Binary;
using Iced.Intel;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// Makes random blocks that touch no memory but the scratch pages and leave through their end. A register that addresses memory,
/// counts or selects a bit is pinned to a suitable value, and only as long as no instruction before has written it.
/// </summary>
internal sealed partial class CaseGenerator
{
    private const int MaximumLength = 6;
    private const ulong ArithmeticFlags = 0x8D5;
    private const RflagsBits ArithmeticBits =
        RflagsBits.OF | RflagsBits.SF | RflagsBits.ZF | RflagsBits.AF | RflagsBits.CF | RflagsBits.PF;

    private readonly Code[] _codes;
    private readonly Random _random;
    private readonly int _bits;
    private readonly InstructionInfoFactory _information = new();
    private readonly Dictionary<Register, ulong> _pinned = [];
    private readonly Dictionary<int, byte[]> _pinnedVectors = [];
    private readonly HashSet<Register> _narrowPointers = [];
    private readonly HashSet<Register> _written = [];
    private readonly List<byte> _code = [];
    private RflagsBits _undefined;
    private RflagsBits _everUndefined;
    private bool _stackLost;
    private bool _alwaysAligned;
    private bool _masksAll;

    /// <summary>A generator of blocks over a set of instructions; the same seed gives the same case.</summary>
    /// <param name="codes">The set.</param>
    /// <param name="seed">Of what is random.</param>
    /// <param name="bits">64, or 32 for code of that width.</param>
    public CaseGenerator(Code[] codes, int seed, int bits = 64)
    {
        _bits = bits;
        _codes = codes;
        _random = new Random(seed);
    }

    private ulong Next => OracleLayout.Code + (ulong)_code.Count;

    // Of each kind.
    private int Registers => _bits == 64 ? 16 : 8;

    /// <summary>Makes a case of one instruction.</summary>
    public OracleCase MakeSingle(Code code) => Make(code, 1);

    /// <summary>An instruction can be made, in one attempt.</summary>
    public bool CanMake(Code code) => TryAppend(code);

    /// <summary>Makes one case.</summary>
    /// <param name="first">The instruction to begin with, or null.</param>
    public OracleCase Make(Code? first) => Make(first, _random.Next(3) != 0 ? 1 : _random.Next(2, MaximumLength + 1));

    /// <summary>Makes a case of bytes that name no memory.</summary>
    public OracleCase MakeRaw(byte[] code, in Instruction instruction)
    {
        Pin(Register.RSP, OracleLayout.Data + 0x1000);
        _masksAll = instruction.Mnemonic == Mnemonic.Vcvtps2ph;
        _code.AddRange(code);
        return new OracleCase
        {
            Bits = _bits,
            Code = [.. _code],
            Data = MakeData(),
            Initial = MakeState(),
            UndefinedFlags = ToRflags(instruction.RflagsUndefined),
            EverUndefinedFlags = ToRflags(instruction.RflagsUndefined),
        };
    }

    private OracleCase Make(Code? first, int wanted)
    {
        Pin(Register.RSP, OracleLayout.Data + 0x1000 + (8 * (ulong)_random.Next(-16, 16)));
        int made = 0;
        for (int attempt = 0; made < wanted && attempt < 40; attempt++)
        {
            var code = made == 0 && first is { } chosen ? chosen : _codes[_random.Next(_codes.Length)];
            made += (made == 0 || !ShowsLastInstruction(code)) && TryAppend(code) ? 1 : 0;
        }

        return new OracleCase
        {
            Bits = _bits,
            Code = [.. _code],
            Data = MakeData(),
            Initial = MakeState(),
            UndefinedFlags = ToRflags(_undefined),
            EverUndefinedFlags = ToRflags(_everUndefined),
        };
    }

    // Opcode, selector and addresses of the last x87 instruction are saved with more or less zeal by different processors.
    private static bool ShowsLastInstruction(Code code) =>
        code.Mnemonic() is Mnemonic.Fnstenv or Mnemonic.Fnsave or Mnemonic.Fldenv or Mnemonic.Frstor;

    private static ulong ToRflags(RflagsBits bits) =>
        ((bits & RflagsBits.CF) != 0 ? 1ul : 0) | ((bits & RflagsBits.PF) != 0 ? 4ul : 0) | ((bits & RflagsBits.AF) != 0 ? 0x10ul : 0)
        | ((bits & RflagsBits.ZF) != 0 ? 0x40ul : 0) | ((bits & RflagsBits.SF) != 0 ? 0x80ul : 0)
        | ((bits & RflagsBits.OF) != 0 ? 0x800ul : 0);

    private bool TryAppend(Code code)
    {
        if (code.IsJccShortOrNear() || code.IsLoop() || code.IsLoopcc() || code.IsJcxShort())
        {
            return _bits == 64 && code.ToOpCode().GetOpKind(0) is OpCodeOperandKind.br64_1 or OpCodeOperandKind.br64_4 && AppendBranch(code);
        }

        if (!TryBuild(code, out var instruction) || !AcceptsFlags(instruction))
        {
            return false;
        }

        if (!Encode(instruction))
        {
            return false;
        }

        NoteEffects(instruction);
        return true;
    }

    private bool AcceptsFlags(in Instruction instruction) => (instruction.RflagsRead & _undefined) == 0;

    private bool Encode(in Instruction instruction)
    {
        var bytes = new List<byte>();
        var encoder = Encoder.Create(_bits, new ListCodeWriter(bytes));
        if (!encoder.TryEncode(instruction, Next, out _, out _))
        {
            return false;
        }

        // An encoding that the decoder reads as something else (an optional prefix, an alias) is no use.
        var decoder = Decoder.Create(_bits, bytes.ToArray(), Next);
        if (decoder.Decode().Code != instruction.Code)
        {
            return false;
        }

        _code.AddRange(bytes);
        return true;
    }

    private void NoteEffects(in Instruction instruction)
    {
        bool mayKeepFlags = instruction.Code.Mnemonic() is Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr or Mnemonic.Shl
            or Mnemonic.Shr or Mnemonic.Sar or Mnemonic.Sal or Mnemonic.Shld or Mnemonic.Shrd
            || instruction.HasRepPrefix || instruction.HasRepnePrefix;
        _undefined |= instruction.RflagsUndefined & ArithmeticBits;
        _everUndefined |= _undefined;
        if (!mayKeepFlags)
        {
            _undefined &= ~(instruction.RflagsWritten | instruction.RflagsCleared | instruction.RflagsSet);
        }

        foreach (var used in _information.GetInfo(instruction).GetUsedRegisters())
        {
            if (used.Access is OpAccess.Write or OpAccess.ReadWrite or OpAccess.CondWrite or OpAccess.ReadCondWrite)
            {
                var full = used.Register.GetFullRegister();
                if (full == Register.RSP && instruction.IsStackInstruction && instruction.Code.Mnemonic() != Mnemonic.Leave
                    && !(instruction.OpCount > 0 && instruction.Op0Kind == OpKind.Register
                        && instruction.Op0Register.GetFullRegister() == Register.RSP))
                {
                    continue;
                }

                _written.Add(full);
                _stackLost |= full == Register.RSP;
            }
        }
    }

    private bool AppendBranch(Code code)
    {
        bool counts = code.IsLoop() || code.IsLoopcc() || code.IsJcxShort();
        if (counts && !TryPin(Register.RCX, (ulong)_random.Next(3)))
        {
            return false;
        }

        // lea r14, [r14+11h] is skipped when the branch is taken, and touches no flag.
        byte[] filler = [0x4D, 0x8D, 0x76, 0x11];
        var branch = Instruction.CreateBranch(code, 0);
        if (!AcceptsFlags(branch))
        {
            return false;
        }

        int length = code.ToOpCode().GetOpKind(0) == OpCodeOperandKind.br64_1 ? 2 : 6;
        length += code.ToOpCode().AddressSize == 32 ? 1 : 0;
        branch = Instruction.CreateBranch(code, Next + (ulong)length + (ulong)filler.Length);
        int before = _code.Count;
        if (!Encode(branch) || _code.Count - before != length)
        {
            _code.RemoveRange(before, _code.Count - before);
            return false;
        }

        NoteEffects(branch);
        _code.AddRange(filler);
        _written.Add(Register.R14);
        return true;
    }

    private void Pin(Register register, ulong value) => _pinned[register] = value;

    private bool TryPin(Register register, ulong value)
    {
        if (_written.Contains(register) || _pinned.ContainsKey(register))
        {
            return false;
        }

        Pin(register, value);
        return true;
    }

    private byte[] MakeData()
    {
        byte[] data = new byte[OracleLayout.DataBytes];
        for (int at = 0; at < data.Length; at += 16)
        {
            var slot = data.AsSpan(at, 16);
            if (_random.Next(4) == 0)
            {
                OperandValues.Extended(_random, slot);
            }
            else
            {
                OperandValues.Vector(_random, slot);
            }
        }

        return data;
    }

    private unsafe MachineState MakeState()
    {
        MachineState state = default;
        Span<ulong> general = new(state.Gpr, 16);
        for (int n = 0; n < 16; n++)
        {
            general[n] = OperandValues.Integer(_random);
        }

        // Dividends that do not overflow.
        if (_random.Next(2) == 0)
        {
            general[2] = _random.Next(2) == 0 ? 0 : (ulong)((long)general[0] >> 63);
        }

        foreach (var (register, value) in _pinned)
        {
            general[register - Register.RAX] = value;
        }

        for (int n = 0; n < 8 && _bits == 32; n++)
        {
            general[n] = (uint)general[n];
        }

        state.Rflags = 0x202 | (OperandValues.Bits(_random) & ArithmeticFlags) | (_random.Next(4) == 0 ? 0x400ul : 0);
        MakeFx(new Span<byte>(state.Fx, 512));
        MakeUpper(new Span<byte>(state.Upper, 256));
        foreach (var (number, value) in _pinnedVectors)
        {
            value.AsSpan(0, 16).CopyTo(new Span<byte>(state.Fx + 160 + (16 * number), 16));
            value.AsSpan(16, 16).CopyTo(new Span<byte>(state.Upper + (16 * number), 16));
        }

        return state;
    }

    private void MakeFx(Span<byte> fx)
    {
        ushort control = 0x37F;
        if (_random.Next(2) == 0)
        {
            int[] precision = [0, 2, 3, 3];
            control = (ushort)(0x7F | (precision[_random.Next(4)] << 8) | (_random.Next(4) << 10));
        }

        if (_random.Next(6) == 0 && HostProcessor.ComparesUnmaskedX87)
        {
            control &= (ushort)~_random.Next(0x40);
        }

        int flags = _random.Next(8) == 0 ? _random.Next(0x80) : 0;
        int status = (_random.Next(8) << 11) | (_random.Next(16) == 0 ? _random.Next(0x8000) & 0x4700 : 0) | flags;
        if ((flags & ~control & 0x3F) != 0)
        {
            status |= 0x8080;
        }

        BinaryPrimitives.WriteUInt16LittleEndian(fx, control);
        BinaryPrimitives.WriteUInt16LittleEndian(fx[2..], (ushort)status);
        fx[4] = (byte)(_random.Next(3) == 0 ? _random.Next(256) : 0xFF);
        uint mxcsr = 0x1F80u | (_random.Next(2) == 0 ? 0x20u : (uint)_random.Next(0x40));
        if (_random.Next(2) == 0)
        {
            mxcsr |= ((uint)_random.Next(4) << 13) | (_random.Next(3) == 0 ? 0x8000u : 0) | (_random.Next(3) == 0 ? 0x40u : 0);
        }

        if (_random.Next(6) == 0 && !_masksAll)
        {
            mxcsr &= ~((uint)_random.Next(0x40) << 7);
        }

        BinaryPrimitives.WriteUInt32LittleEndian(fx[24..], mxcsr);
        for (int n = 0; n < 8; n++)
        {
            OperandValues.Extended(_random, fx.Slice(32 + (16 * n), 10));
        }

        for (int n = 0; n < 16; n++)
        {
            OperandValues.Vector(_random, fx.Slice(160 + (16 * n), 16));
        }
    }

    private void MakeUpper(Span<byte> upper)
    {
        if (_random.Next(8) == 0)
        {
            return;
        }

        for (int n = 0; n < 16; n++)
        {
            OperandValues.Vector(_random, upper.Slice(16 * n, 16));
        }
    }

    private sealed class ListCodeWriter(List<byte> bytes) : CodeWriter
    {
        public override void WriteByte(byte value) => bytes.Add(value);
    }
}
