using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>
/// Random programs of valid instructions: functions in several pages that call and jump among each other, with a budget of steps in
/// memory that every function counts down, so that each program ends. Some store into code, some remap pages.
/// </summary>
internal sealed class RandomGuest(int seed)
{
    /// <summary>Functions, 512 bytes each, one behind the other; the last page is also met through an alias.</summary>
    private const int Functions = 40, FunctionBytes = 512, CodePages = 5;
    private const ulong Base = M.Code + 0x1000, Budget = M.Data - 0x1000, Swapped = M.Free + 0x1_0000, Windows = M.Free;
    private const int SwappedPages = 12;

    // RSP is the stack; R12 a base at a page boundary, R13 one in the middle of a page: neither is written.
    private static readonly AssemblerRegister64[] Wide = [rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r14, r15];
    private static readonly AssemblerRegister32[] Words = [eax, ecx, edx, ebx, ebp, esi, edi, r8d, r9d, r10d, r11d, r14d, r15d];
    private static readonly AssemblerRegister16[] Halves = [ax, cx, dx, bx, bp, si, di, r8w, r9w, r10w, r11w, r14w, r15w];
    private static readonly AssemblerRegister8[] Bytes = [al, cl, dl, bl, ah, ch, dh, bh, r8b, r9b, r10b, r11b, r14b, r15b];
    private static readonly AssemblerRegisterXMM[] Vectors = [xmm0, xmm1, xmm2, xmm3, xmm8, xmm15];

    private readonly Random _random = new(seed);
    private readonly List<Immediate> _immediates = [];
    private readonly List<(ulong At, byte[] Bytes)> _code = [];

    private record struct Immediate(ulong Address);

    /// <summary>Makes the program; the same for each machine it is put into.</summary>
    public void Generate()
    {
        for (int n = 0; n < Functions; n++)
        {
            ulong at = Base + (ulong)(n * FunctionBytes);
            int size = 12;
            byte[] bytes;
            do
            {
                bytes = M.Assemble(at, a => WriteFunction(a, size));
                size--;
            }
            while (bytes.Length > FunctionBytes);
            _code.Add((at, bytes));
        }
    }

    /// <summary>Puts it into a machine and runs it.</summary>
    public void Run(M machine, int budget)
    {
        foreach (var (at, bytes) in _code)
        {
            bytes.CopyTo(machine.Memory[(int)at..]);
        }

        var random = new Random(seed);
        random.NextBytes(machine.Memory.Slice((int)M.Data, 0x8000));
        for (ulong page = 0; page < 4; page++)
        {
            // Neighbours that are none in memory; the data is also seen there.
            machine.Map(Windows + (page << 12), M.Data + ((3 - page) << 12), M.Present | M.Writable);
        }

        for (int page = -SwappedPages; page < SwappedPages; page++)
        {
            machine.Map(Swapped + (ulong)(page << 12), Base + (ulong)((page + (3 * CodePages)) % CodePages << 12), M.Present | M.Writable);
        }

        machine.Write(Budget, (ulong)budget);
        for (int register = 0; register < 16; register++)
        {
            machine.Cpu.SetGeneralRegister(register, (ulong)random.NextInt64());
        }

        machine.Cpu.SetGeneralRegister(4, M.StackTop - 0x1000 + 24);
        machine.Cpu.SetGeneralRegister(12, Windows + 0x1000);
        machine.Cpu.SetGeneralRegister(13, M.Data + 0x1800);
        machine.Load(M.Code, a =>
        {
            var again = a.CreateLabel();
            a.Label(ref again);
            a.call(Base);
            a.jmp(again);
        });
        machine.Run(M.Code);
    }

    // Within the function: labels at each step, jumps forward only; calls to others; at its start the budget is counted.
    private void WriteFunction(Assembler a, int steps)
    {
        var go = a.CreateLabel();
        a.pushfq();
        a.dec(__qword_ptr[Budget]);
        a.jns(go);
        a.popfq();
        a.hlt();
        a.Label(ref go);
        a.popfq();
        var ahead = new Queue<Label>();
        for (int n = 0; n < steps; n++)
        {
            if (ahead.Count > 0 && _random.Next(2) == 0)
            {
                var label = ahead.Dequeue();
                a.Label(ref label);
                a.nop();
            }

            Step(a, ahead);
        }

        while (ahead.TryDequeue(out var label))
        {
            a.Label(ref label);
            a.nop();
        }

        switch (_random.Next(5))
        {
            case 0:
                a.jmp(FunctionAddress());
                break;
            case 1:
                a.mov(rdx, FunctionAddress());
                a.jmp(rdx);
                break;
            case 2:
                a.ret(0);
                break;
            default:
                a.ret();
                break;
        }
    }

    private ulong FunctionAddress() => Base + (ulong)(_random.Next(Functions) * FunctionBytes);

    private void Step(Assembler a, Queue<Label> ahead)
    {
        switch (_random.Next(40))
        {
            case < 8:
                Arithmetic(a);
                break;
            case < 18:
                Memory(a);
                break;
            case < 21:
                var label = a.CreateLabel();
                ahead.Enqueue(label);
                switch (_random.Next(6))
                {
                    case 0: a.jc(label); break;
                    case 1: a.jz(label); break;
                    case 2: a.js(label); break;
                    case 3: a.jle(label); break;
                    case 4: a.jp(label); break;
                    default: a.jo(label); break;
                }

                break;
            case < 23:
                a.call(FunctionAddress());
                break;
            case < 25:
                Stack(a);
                break;
            case < 27:
                Vector(a);
                break;
            case 27:
                a.mov(ecx, _random.Next(1, 6));
                var loop = a.CreateLabel();
                a.Label(ref loop);
                Arithmetic(a, keepsCount: true);
                a.loop(loop);
                break;
            case 28:
                Modify(a);
                break;
            case 29:
                Remap(a);
                break;
            case 30:
                Divide(a);
                break;
            case 31:
                a.pushfq();
                a.pop(Pick(Wide));
                break;
            case 32:
                Shift(a);
                break;
            case 33:
                a.mov(rdi, r13);
                a.lea(rsi, __[r12 - 16]);
                a.mov(ecx, _random.Next(40));
                a.cld();
                Strings(a);
                break;
            case 34:
                var function = FunctionAddress();
                a.mov(rbx, function);
                a.call(rbx);
                break;
            case 35:
                a.@lock.xadd(__qword_ptr[r12 - 8], Pick(Wide));
                break;
            case 36:
                a.cmpxchg(__dword_ptr[r13 + Displacement()], Pick(Words));
                break;
            case 37:
                a.bts(__dword_ptr[r13], Small(a));
                break;
            case 38:
                a.lea(Pick(Wide), __[Pick(Wide) + (Pick(Wide) * 4) + Displacement()]);
                break;
            default:
                a.xchg(Pick(Bytes[..8]), Pick(Bytes[..8]));
                break;
        }
    }

    private void Strings(Assembler a)
    {
        switch (_random.Next(8))
        {
            case 0: a.lodsb(); a.scasb(); break;
            case 1: a.lodsd(); a.scasd(); break;
            case 2: a.lodsq(); a.scasw(); break;
            case 3: a.scasq(); a.stosw(); break;
            case 4: a.rep.stosd(); break;
            case 5: a.mov(ecx, 0); a.rep.movsq(); break;
            default: a.rep.movsb(); break;
        }
    }

    private AssemblerRegister32 Small(Assembler a)
    {
        a.and(edx, 0xFFF);
        return edx;
    }

    private int Displacement() => _random.Next(4) == 0 ? _random.Next(-2048, 2000) : _random.Next(-40, 40);

    private T Pick<T>(T[] from) => from[_random.Next(from.Length)];

    private void Arithmetic(Assembler a, bool keepsCount = false)
    {
        var wide = keepsCount ? Pick([rax, rdx, rbx, r10, r11, r15]) : Pick(Wide);
        var word = keepsCount ? Pick([eax, edx, ebx, r10d, r11d, r15d]) : Pick(Words);
        switch (_random.Next(16))
        {
            case 0: a.add(wide, Pick(Wide)); break;
            case 1: a.sub(word, _random.Next()); break;
            case 2: a.adc(wide, Pick(Wide)); break;
            case 3: a.sbb(word, Pick(Words)); break;
            case 4: a.xor(wide, Pick(Wide)); break;
            case 5: a.inc(word); break;
            case 6: a.dec(wide); break;
            case 7: a.cmp(wide, Pick(Wide)); break;
            case 8: a.neg(wide); break;
            case 9: a.bswap(wide); break;
            case 10: a.setg(keepsCount ? al : Pick(Bytes)); break;
            case 11: a.cmovb(wide, Pick(Wide)); break;
            case 12: a.movsx(wide, Pick(Halves)); break;
            case 13: a.add(keepsCount ? ah : Pick(Bytes), 77); break;
            case 14: a.mov(wide, (ulong)_random.NextInt64()); break;
            default: a.not(wide); break;
        }
    }

    private void Shift(Assembler a)
    {
        // By 1, so that all flags but AF are defined; then AF is defined again.
        switch (_random.Next(5))
        {
            case 0: a.shl(Pick(Wide), 1); break;
            case 1: a.sar(Pick(Words), 1); break;
            case 2: a.rcl(Pick(Words), 1); break;
            case 3: a.ror(Pick(Wide), 1); break;
            default: a.shr(Pick(Words), 1); break;
        }

        a.cmp(Pick(Words), 5);
    }

    // A few accesses by one register that may lie in two pages.
    private void Memory(Assembler a)
    {
        var basis = Pick([r12, r12, r13, rbx, r10, r15, rsi]);
        if (basis != r12 && basis != r13)
        {
            a.lea(basis, __[r12 + _random.Next(-64, 32)]);
        }

        int displacement = Displacement();
        for (int n = _random.Next(1, 5); n > 0; n--)
        {
            int at = displacement + _random.Next(-24, 24);
            var other = Pick(Wide);
            switch (_random.Next(14))
            {
                case 0: a.mov(__qword_ptr[basis + at], other); break;
                case 1: a.add(__dword_ptr[basis + at], Pick(Words)); break;
                case 2: a.mov(__byte_ptr[basis + at], Pick(Bytes[..4])); break;
                case 3: a.xor(__word_ptr[basis + at], Pick(Halves)); break;
                case 4: a.inc(__qword_ptr[basis + at]); break;
                case 5: a.sub(__qword_ptr[basis + at], 1000); break;
                case 6: a.cmp(__dword_ptr[basis + at], Pick(Words)); break;
                case 7: a.adc(__byte_ptr[basis + at], 3); break;
                case 8 when basis != other: a.add(other, __qword_ptr[basis + at]); break;
                case 9 when basis != other: a.mov(other, __qword_ptr[basis + at]); break;
                case 10 when basis != other: a.xchg(__qword_ptr[basis + at], other); break;
                case 11 when basis != other: a.movzx(other, __word_ptr[basis + at]); break;
                case 12 when basis != r12 && basis != r13: a.add(basis, _random.Next(-20, 20)); break;
                case 13 when basis != r12 && basis != r13: a.dec(basis); break;
            }
        }
    }

    private void Stack(Assembler a)
    {
        a.push(Pick(Wide));
        a.push(_random.Next());
        a.add(__qword_ptr[rsp], 1);
        a.mov(Pick(Wide), __qword_ptr[rsp + 8]);
        if (_random.Next(2) == 0)
        {
            a.push(__qword_ptr[r13 + Displacement()]);
            a.pop(__qword_ptr[r12 + Displacement()]);
        }

        a.pop(Pick(Wide));
        a.pop(Pick(Wide));
    }

    private void Vector(Assembler a)
    {
        switch (_random.Next(8))
        {
            case 0: a.movups(Pick(Vectors), __xmmword_ptr[r12 + Displacement()]); break;
            case 1: a.movups(__xmmword_ptr[r12 + Displacement()], Pick(Vectors)); break;
            case 2: a.paddd(Pick(Vectors), Pick(Vectors)); break;
            case 3: a.movq(Pick(Vectors), Pick(Wide)); break;
            case 4: a.movq(Pick(Wide), Pick(Vectors)); break;
            case 5: a.pshufb(Pick(Vectors), Pick(Vectors)); break;
            case 6: a.movaps(__xmmword_ptr[r12 + (Displacement() & -16)], Pick(Vectors)); break;
            default: a.pxor(Pick(Vectors), Pick(Vectors)); break;
        }
    }

    private void Divide(Assembler a)
    {
        a.mov(rdx, rax);
        a.sar(rdx, 63);
        a.mov(rbx, (ulong)_random.Next(2, 100000));
        if (_random.Next(2) == 0)
        {
            a.idiv(rbx);
        }
        else
        {
            a.xor(edx, edx);
            a.div(rbx);
        }

        a.cmp(eax, 1000);
    }

    // Changes the immediate of an instruction right behind, or of one like it in any function met so far; by the code's own address
    // or by the alias of its page.
    private void Modify(Assembler a)
    {
        var target = a.CreateLabel();
        a.lea(rbx, __[target]);
        a.mov(__byte_ptr[rbx + _random.Next(1, 5)], Pick(Bytes[..8]));
        if (_random.Next(2) == 0)
        {
            a.nop();
        }

        a.Label(ref target);
        a.mov(Pick([eax, ecx, edx, esi]), _random.Next());
        if (_random.Next(3) == 0)
        {
            // Any byte of a function's padding, so that its page is written.
            a.mov(rsi, Base + (ulong)(_random.Next(Functions) * FunctionBytes) + FunctionBytes - 1);
            a.mov(__byte_ptr[rsi], al);
        }
    }

    private void Remap(Assembler a)
    {
        switch (_random.Next(5))
        {
            case 0:
                a.invlpg(__[r12]);
                break;
            case 1:
                a.mov(rdx, cr3);
                a.mov(cr3, rdx);
                break;
            case 2:
                // Two data pages change places.
                a.xor(__qword_ptr[M.EntryOf(Windows + 0x1000)], 0x3000);
                a.invlpg(__[r12]);
                break;
            default:
                // Another page of code at the same address, and a call there, to the start of a function.
                ulong page = Swapped + (ulong)(_random.Next(-3, 3) << 12);
                a.mov(rsi, page);
                a.mov(__dword_ptr[M.EntryOf(page)], (int)(Base + ((ulong)_random.Next(CodePages) << 12)) | 3);
                a.invlpg(__[rsi]);
                a.call(rsi);
                break;
        }
    }
}
