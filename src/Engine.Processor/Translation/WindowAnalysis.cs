using Iced.Intel;

namespace Hypervisor.Engine.Processor.Translation;

/// <summary>
/// Finds the accesses of a block that go through the same register at small distances: fields of a structure, a stack frame, an
/// unrolled loop. Such a window is looked up in the translation buffer once, if it lies in one page.
/// </summary>
internal sealed class WindowAnalysis
{
    /// <summary>An instruction's access is in no window.</summary>
    public const int None = -1;

    /// <summary>Windows of one block.</summary>
    public const int MaximumWindows = 8;

    private const int MaximumSpan = 256, MaximumInstructions = 72, MaximumCandidates = 24;
    private const int GuestRegisters = 16, StackPointer = 4, FramePointer = 5;

    private readonly Access[] _accesses = new Access[MaximumInstructions];
    private readonly Window[] _windows = new Window[MaximumCandidates];
    private readonly int[] _current = new int[GuestRegisters];
    private readonly int[] _moved = new int[GuestRegisters];
    private readonly InstructionInfoFactory _information = new();
    private int _count;
    private bool _wide;
    private int _slot;

    /// <summary>The block has windows of more than one access.</summary>
    public bool HasWindows { get; private set; }

    /// <summary>The access of an instruction by its number; <see cref="Access.Window"/> tells whether it has one in a window.</summary>
    public ref readonly Access this[int number] => ref _accesses[number];

    /// <summary>A window by its number.</summary>
    public ref readonly Window Get(int window) => ref _windows[window];

    /// <summary>Looks at a block, of 64-bit code or of 32-bit code in flat segments.</summary>
    public void Analyse(ReadOnlySpan<Instruction> instructions, bool is64Bit)
    {
        _wide = is64Bit;
        _slot = is64Bit ? sizeof(ulong) : sizeof(uint);
        Array.Fill(_current, None);
        _count = 0;
        for (int n = 0; n < instructions.Length; n++)
        {
            _accesses[n].Window = None;
            Look(instructions[n], n);
        }

        // Only those that pay get one of the few places.
        int places = 0;
        HasWindows = false;
        for (int w = 0; w < _count; w++)
        {
            ref var window = ref _windows[w];
            window.Place = window.Accesses > 1 && places < MaximumWindows ? places++ : None;
            HasWindows |= window.Place != None;
        }

        for (int n = 0; n < instructions.Length; n++)
        {
            if (_accesses[n].Window != None && _windows[_accesses[n].Window].Place == None)
            {
                _accesses[n].Window = None;
            }
        }
    }

    private void Look(in Instruction instruction, int number)
    {
        switch (instruction.Code)
        {
            case Code.Push_r64 or Code.Pushq_imm8 or Code.Pushq_imm32 or Code.Call_rel32_64 or Code.Pushfq when _wide:
            case Code.Push_r32 or Code.Pushd_imm8 or Code.Pushd_imm32 or Code.Call_rel32_32 or Code.Pushfd or Code.Pushd_ES or Code.Pushd_CS
                or Code.Pushd_SS or Code.Pushd_DS or Code.Pushd_FS or Code.Pushd_GS when !_wide:
                if (instruction.Code is not (Code.Pushfq or Code.Pushfd))
                {
                    Enter(number, StackPointer, -_slot, _slot, write: true);
                }

                _moved[StackPointer] -= _slot;
                return;
            case Code.Pop_r64 when _wide:
            case Code.Pop_r32 when !_wide:
                Enter(number, StackPointer, 0, _slot, write: false);
                _moved[StackPointer] += _slot;
                Forget(instruction.Op0Register);
                return;
            case Code.Retnq or Code.Retnq_imm16 when _wide:
            case Code.Retnd or Code.Retnd_imm16 when !_wide:
                Enter(number, StackPointer, 0, _slot, write: false);
                return;
            case Code.Leaveq when _wide:
            case Code.Leaved when !_wide:
                Enter(number, FramePointer, 0, _slot, write: false);
                Forget(Register.RSP);
                Forget(Register.RBP);
                return;
            case Code.Add_rm64_imm8 or Code.Add_rm64_imm32 or Code.Sub_rm64_imm8 or Code.Sub_rm64_imm32 or Code.Inc_rm64 or Code.Dec_rm64
                when instruction.Op0Kind == OpKind.Register && _wide:
            case Code.Add_rm32_imm8 or Code.Add_rm32_imm32 or Code.Sub_rm32_imm8 or Code.Sub_rm32_imm32 or Code.Inc_rm32 or Code.Dec_rm32
                or Code.Inc_r32 or Code.Dec_r32 when instruction.Op0Kind == OpKind.Register && !_wide:
                Move(instruction);
                return;
        }

        bool copied = TranslatableInstructions.IsCopied(instruction.Code);
        if (instruction.FlowControl != FlowControl.Next || !(copied || instruction.Mnemonic is Mnemonic.Lea or Mnemonic.Nop or Mnemonic.Endbr64))
        {
            // Whatever the interpreter does.
            if (!(instruction.FlowControl == FlowControl.ConditionalBranch || instruction.Mnemonic is Mnemonic.Cli or Mnemonic.Sti or Mnemonic.Swapgs))
            {
                Array.Fill(_current, None);
            }

            return;
        }

        var information = _information.GetInfo(instruction, InstructionInfoOptions.NoRegisterUsage | InstructionInfoOptions.NoMemoryUsage);
        for (int n = 0; n < instruction.OpCount; n++)
        {
            if (instruction.GetOpKind(n) == OpKind.Memory && copied)
            {
                LookAtOperand(instruction, number, information.GetOpAccess(n));
            }
        }

        for (int n = 0; n < instruction.OpCount; n++)
        {
            if (instruction.GetOpKind(n) == OpKind.Register && IsWrite(information.GetOpAccess(n)))
            {
                Forget(instruction.GetOpRegister(n));
            }
        }

        ForgetImplied(instruction);
    }

    private void LookAtOperand(in Instruction instruction, int number, OpAccess access)
    {
        int size = MemorySizeExtensions.GetSize(instruction.MemorySize);
        long displacement = _wide ? (long)instruction.MemoryDisplacement64 : (int)instruction.MemoryDisplacement64;
        if (instruction.MemoryIndex == Register.None
            && (_wide ? RegisterExtensions.IsGPR64(instruction.MemoryBase) : RegisterExtensions.IsGPR32(instruction.MemoryBase))
            && instruction.MemorySegment is not (Register.FS or Register.GS) && (_wide || instruction.MemorySegment != Register.CS) && size is 1 or 2 or 4 or 8 or 16 or 32
            && displacement == (int)displacement && !IsBitString(instruction))
        {
            Enter(number, RegisterExtensions.GetNumber(instruction.MemoryBase), (int)displacement, size, IsWrite(access));
        }
    }

    private void Enter(int number, int register, int displacement, int size, bool write)
    {
        int w = _current[register];
        long relative = (long)displacement + _moved[register];
        if (w != None)
        {
            ref var window = ref _windows[w];
            long low = Math.Min(window.Low, relative), high = Math.Max(window.High, relative + size);
            if (high - low <= MaximumSpan)
            {
                window.Low = low;
                window.High = high;
                window.Accesses++;
                window.Write |= write;
                _accesses[number] = new Access { Window = w, Register = register, Displacement = displacement, Relative = relative };
                return;
            }
        }

        if (_count == MaximumCandidates)
        {
            return;
        }

        _moved[register] = 0;
        _current[register] = _count;
        _windows[_count] = new Window { Low = displacement, High = displacement + (long)size, Accesses = 1, Write = write };
        _accesses[number] = new Access { Window = _count, Register = register, Displacement = displacement, Relative = displacement };
        _count++;
    }

    private void Move(in Instruction instruction)
    {
        int register = RegisterExtensions.GetNumber(instruction.Op0Register);
        long change = instruction.Mnemonic switch
        {
            Mnemonic.Inc => 1,
            Mnemonic.Dec => -1,
            Mnemonic.Add => ImmediateOf(instruction),
            _ => -ImmediateOf(instruction),
        };
        long moved = _moved[register] + change;
        if (Math.Abs(moved) > MaximumSpan)
        {
            _current[register] = None;
        }
        else
        {
            _moved[register] = (int)moved;
        }
    }

    private long ImmediateOf(in Instruction instruction) => _wide ? (long)instruction.GetImmediate(1) : (int)instruction.GetImmediate(1);

    private void Forget(Register register)
    {
        if (RegisterExtensions.IsGPR(register))
        {
            _current[RegisterExtensions.GetNumber(RegisterExtensions.GetFullRegister(register))] = None;
        }
    }

    // Registers that are written without being named as operands.
    private void ForgetImplied(in Instruction instruction)
    {
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Mul or Mnemonic.Imul or Mnemonic.Div or Mnemonic.Idiv or Mnemonic.Cwd or Mnemonic.Cdq or Mnemonic.Cqo or Mnemonic.Cbw
                or Mnemonic.Cwde or Mnemonic.Cdqe or Mnemonic.Cmpxchg or Mnemonic.Cmpxchg8b or Mnemonic.Cmpxchg16b or Mnemonic.Lahf:
                Forget(Register.RAX);
                Forget(Register.RDX);
                break;
            case Mnemonic.Pcmpestri or Mnemonic.Pcmpestri64 or Mnemonic.Pcmpistri or Mnemonic.Vpcmpestri or Mnemonic.Vpcmpestri64
                or Mnemonic.Vpcmpistri:
                Forget(Register.RCX);
                break;
        }
    }

    private static bool IsWrite(OpAccess access) =>
        access is OpAccess.Write or OpAccess.CondWrite or OpAccess.ReadWrite or OpAccess.ReadCondWrite;

    private static bool IsBitString(in Instruction instruction) =>
        instruction.Mnemonic is Mnemonic.Bt or Mnemonic.Btc or Mnemonic.Btr or Mnemonic.Bts && instruction.Op1Kind == OpKind.Register;

    /// <summary>An access within a window.</summary>
    internal struct Access
    {
        /// <summary>Number of the window, or <see cref="None"/>.</summary>
        public int Window;

        /// <summary>The guest's register, and the distance from what it holds at this instruction.</summary>
        public int Register, Displacement;

        /// <summary>The distance from what it held at the window's first access.</summary>
        public long Relative;
    }

    /// <summary>Accesses through one register while it changes by constants only.</summary>
    internal struct Window
    {
        /// <summary>Bounds, as distances from what the register held at the first access.</summary>
        public long Low, High;

        public int Accesses;

        /// <summary>Which of the few places for host addresses it has.</summary>
        public int Place;

        /// <summary>Some access stores.</summary>
        public bool Write;
    }
}
