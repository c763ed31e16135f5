using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>As <see cref="RandomGuest"/>, in 32-bit code: also segments that are not flat for a while, and what 64-bit code cannot encode.</summary>
internal sealed class RandomGuest32(int seed, bool user)
{
    private const int Functions = 40, FunctionBytes = 512, CodePages = 5;
    private const uint Base = (uint)M.Code + 0x1000, Budget = (uint)M.Data - 0x1000, Swapped = (uint)M.Free + 0x1_0000, Windows = (uint)M.Free;
    private const uint Middle = (uint)M.Data + 0x1800;
    private const int SwappedPages = 12;

    // ESP is the stack; EBP a base at a page boundary, which is not written.
    private static readonly AssemblerRegister32[] Words = [eax, ecx, edx, ebx, esi, edi];
    private static readonly AssemblerRegister16[] Halves = [ax, cx, dx, bx, si, di];
    private static readonly AssemblerRegister8[] Bytes = [al, cl, dl, bl, ah, ch, dh, bh];
    private static readonly AssemblerRegisterXMM[] Vectors = [xmm0, xmm1, xmm2, xmm3, xmm6, xmm7];

    private readonly Random _random = new(seed);
    private readonly List<(uint At, byte[] Bytes)> _code = [];
    private Func<ulong, ulong> _placeOfEntry = static _ => 0;

    /// <summary>Makes the program; the same for each machine of a mode.</summary>
    public void Generate(M machine)
    {
        _placeOfEntry = machine.PlaceOfEntry;
        for (int n = 0; n < Functions; n++)
        {
            uint at = Base + (uint)(n * FunctionBytes);
            int size = 12;
            byte[] bytes;
            do
            {
                bytes = M.Assemble(at, a => WriteFunction(a, size), 32);
                size--;
            }
            while (bytes.Length > FunctionBytes);
            _code.Add((at, bytes));
        }
    }

    /// <summary>Puts it into a machine and runs it.</summary>
    public void Run(M machine, int budget)
    {
        if (_code.Count == 0)
        {
            Generate(machine);
        }

        foreach (var (at, bytes) in _code)
        {
            bytes.CopyTo(machine.Memory[(int)at..]);
        }

        var random = new Random(seed);
        random.NextBytes(machine.Memory.Slice((int)M.Data, 0x8000));
        ulong rights = M.Present | M.Writable | (user ? M.User : 0);
        for (ulong page = 0; page < 4; page++)
        {
            // Neighbours that are none in memory; the data is also seen there.
            machine.Map(Windows + (page << 12), M.Data + ((3 - page) << 12), rights);
        }

        for (int page = -SwappedPages; page < SwappedPages; page++)
        {
            machine.Map(Swapped + (ulong)(page << 12), Base + ((ulong)((page + (3 * CodePages)) % CodePages) << 12), rights);
        }

        machine.Write(Budget, (ulong)budget);
        for (int register = 0; register < 8; register++)
        {
            machine.Cpu.SetGeneralRegister(register, (uint)random.Next());
        }

        machine.Cpu.SetGeneralRegister(4, M.StackTop - 0x1000 + 20);
        machine.Cpu.SetGeneralRegister(5, Windows + 0x1000);
        machine.Load(M.Code, a =>
        {
            Load(a, gs, M.BasedData);
            Load(a, fs, M.LimitedData);
            var again = a.CreateLabel();
            a.Label(ref again);
            a.call(Base);
            a.jmp(again);
        });
        machine.Run(M.Code);
    }

    private static void Load(Assembler a, AssemblerRegisterSegment segment, ushort selector)
    {
        a.mov(eax, (uint)selector | 3);
        a.mov(segment, ax);
    }

    private void WriteFunction(Assembler a, int steps)
    {
        var go = a.CreateLabel();
        a.pushfd();
        a.dec(__dword_ptr.ss[Budget]);
        a.jns(go);
        a.popfd();
        a.hlt();
        a.Label(ref go);
        a.popfd();
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
                a.mov(edx, FunctionAddress());
                a.jmp(edx);
                break;
            case 2:
                a.ret(0);
                break;
            default:
                a.ret();
                break;
        }
    }

    private uint FunctionAddress() => Base + (uint)(_random.Next(Functions) * FunctionBytes);

    private void Step(Assembler a, Queue<Label> ahead)
    {
        switch (_random.Next(44))
        {
            case < 8:
                Arithmetic(a);
                break;
            case < 18:
                Memory(a);
                break;
            case < 21:
                Branch(a, ahead);
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
                a.pushfd();
                a.pop(Pick(Words));
                break;
            case 32:
                Shift(a);
                break;
            case 33:
                a.mov(edi, Middle);
                a.lea(esi, __[ebp - 16]);
                a.mov(ecx, _random.Next(40));
                a.cld();
                Strings(a);
                break;
            case 34:
                a.mov(ebx, FunctionAddress());
                a.call(ebx);
                break;
            case 35:
                a.@lock.xadd(__dword_ptr[ebp - 8], Pick(Words));
                break;
            case 36:
                a.cmpxchg(__dword_ptr[Middle + Displacement()], Pick(Words));
                break;
            case 37:
                a.and(edx, 0xFFF);
                a.bts(__dword_ptr[Middle], edx);
                break;
            case 38:
                a.lea(Pick(Words), __[Pick(Words) + (Pick(Words) * 4) + Displacement()]);
                break;
            case 39:
                Segments(a);
                break;
            case 40:
                Based(a);
                break;
            case 41:
                OnlyHere(a);
                break;
            case 42:
                a.@lock.cmpxchg8b(__qword_ptr[ebp + (Displacement() & -8)]);
                break;
            default:
                a.xchg(Pick(Bytes), Pick(Bytes));
                break;
        }
    }

    private void Strings(Assembler a)
    {
        switch (_random.Next(9))
        {
            case 0: a.lodsb(); a.scasb(); break;
            case 1: a.lodsd(); a.scasd(); break;
            case 2: a.lodsw(); a.scasw(); break;
            case 3: a.scasd(); a.stosw(); break;
            case 4: a.rep.stosd(); break;
            case 5: a.mov(ecx, 0); a.rep.movsd(); break;
            case 6: a.std(); a.lodsb(); a.movsw(); a.cld(); break;
            case 7: a.stosb(); a.movsb(); break;
            default: a.rep.movsb(); break;
        }
    }

    private void Branch(Assembler a, Queue<Label> ahead)
    {
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
    }

    private int Displacement() => _random.Next(4) == 0 ? _random.Next(-2048, 2000) : _random.Next(-40, 40);

    private T Pick<T>(T[] from) => from[_random.Next(from.Length)];

    private void Arithmetic(Assembler a, bool keepsCount = false)
    {
        var word = keepsCount ? Pick([eax, edx, ebx, esi, edi]) : Pick(Words);
        var half = keepsCount ? Pick([ax, dx, bx, si, di]) : Pick(Halves);
        switch (_random.Next(18))
        {
            case 0: a.add(word, Pick(Words)); break;
            case 1: a.sub(word, _random.Next()); break;
            case 2: a.adc(half, Pick(Halves)); break;
            case 3: a.sbb(word, Pick(Words)); break;
            case 4: a.xor(word, Pick(Words)); break;
            case 5: a.AddInstruction(Instruction.Create(Code.Inc_r32, word)); break;
            case 6: a.AddInstruction(Instruction.Create(Code.Dec_r32, word)); break;
            case 7: a.cmp(word, Pick(Words)); break;
            case 8: a.neg(half); break;
            case 9: a.bswap(word); break;
            case 10: a.setg(keepsCount ? al : Pick(Bytes)); break;
            case 11: a.cmovb(word, Pick(Words)); break;
            case 12: a.movsx(word, Pick(Halves)); break;
            case 13: a.add(keepsCount ? ah : Pick(Bytes), 77); break;
            case 14: a.mov(word, _random.Next()); break;
            case 15: a.inc(half); break;
            case 16: a.dec(half); break;
            default: a.not(word); break;
        }
    }

    private void Shift(Assembler a)
    {
        // By 1, so that all flags but AF are defined; then AF is defined again.
        switch (_random.Next(5))
        {
            case 0: a.shl(Pick(Words), 1); break;
            case 1: a.sar(Pick(Words), 1); break;
            case 2: a.rcl(Pick(Words), 1); break;
            case 3: a.ror(Pick(Halves), 1); break;
            default: a.shr(Pick(Bytes), 1); break;
        }

        a.cmp(Pick(Words), 5);
    }

    // A few accesses by one register that may lie in two pages.
    private void Memory(Assembler a)
    {
        var basis = Pick([ebp, ebp, ebx, edi, ecx, esi]);
        if (basis != ebp)
        {
            a.lea(basis, __[ebp + _random.Next(-64, 32)]);
        }

        int displacement = Displacement();
        for (int n = _random.Next(1, 5); n > 0; n--)
        {
            int at = displacement + _random.Next(-24, 24);
            var other = Pick(Words);
            switch (_random.Next(15))
            {
                case 0: a.mov(__dword_ptr[basis + at], other); break;
                case 1: a.add(__dword_ptr[basis + at], Pick(Words)); break;
                case 2: a.mov(__byte_ptr[basis + at], Pick(Bytes)); break;
                case 3: a.xor(__word_ptr[basis + at], Pick(Halves)); break;
                case 4: a.inc(__dword_ptr[basis + at]); break;
                case 5: a.sub(__dword_ptr[basis + at], 1000); break;
                case 6: a.cmp(__dword_ptr.es[basis + at], Pick(Words)); break;
                case 7: a.adc(__byte_ptr[basis + at], 3); break;
                case 8 when basis != other: a.add(other, __dword_ptr[basis + at]); break;
                case 9 when basis != other: a.mov(other, __dword_ptr.cs[basis + at]); break;
                case 10 when basis != other: a.xchg(__dword_ptr[basis + at], other); break;
                case 11 when basis != other: a.movzx(other, __word_ptr.ss[basis + at]); break;
                case 12 when basis != ebp: a.add(basis, _random.Next(-20, 20)); break;
                case 13 when basis != ebp: a.dec(basis); break;
                case 14 when basis != ebp: a.inc(basis); break;
            }
        }
    }

    private void Stack(Assembler a)
    {
        a.push(Pick(Words));
        a.push(_random.Next());
        a.add(__dword_ptr[esp], 1);
        a.mov(Pick(Words), __dword_ptr[esp + 4]);
        switch (_random.Next(5))
        {
            case 0:
                a.push(__dword_ptr[Middle + Displacement()]);
                a.pop(__dword_ptr[ebp + Displacement()]);
                break;
            case 1:
                a.push(ebp);
                a.mov(ebp, esp);
                a.sub(esp, 24);
                a.mov(__dword_ptr[ebp - 8], Pick(Words));
                a.push(esp);
                a.leave();
                break;
            case 2:
                a.pushad();
                a.popad();
                break;
            case 3:
                a.push(ds);
                a.pop(es);
                break;
            default:
                a.push(Pick(Halves));
                a.pop(Pick(Halves));
                break;
        }

        a.pop(Pick(Words));
        a.pop(Pick(Words));
    }

    private void Vector(Assembler a)
    {
        switch (_random.Next(8))
        {
            case 0: a.movups(Pick(Vectors), __xmmword_ptr[ebp + Displacement()]); break;
            case 1: a.movups(__xmmword_ptr[ebp + Displacement()], Pick(Vectors)); break;
            case 2: a.paddd(Pick(Vectors), Pick(Vectors)); break;
            case 3: a.movd(Pick(Vectors), Pick(Words)); break;
            case 4: a.movd(Pick(Words), Pick(Vectors)); break;
            case 5: a.pshufb(Pick(Vectors), Pick(Vectors)); break;
            case 6: a.movaps(__xmmword_ptr[ebp + (Displacement() & -16)], Pick(Vectors)); break;
            default: a.pxor(Pick(Vectors), Pick(Vectors)); break;
        }
    }

    private void Divide(Assembler a)
    {
        a.mov(edx, eax);
        a.sar(edx, 31);
        a.mov(ebx, _random.Next(2, 100000));
        if (_random.Next(2) == 0)
        {
            a.idiv(ebx);
        }
        else
        {
            a.xor(edx, edx);
            a.div(ebx);
        }

        a.cmp(eax, 1000);
    }

    // A segment that is not flat, and back, amid accesses: what was translated must not go on meanwhile.
    private void Segments(Assembler a)
    {
        var segment = Pick([ds, es]);
        a.push(eax);
        a.mov(ax, segment);
        a.push(eax);
        Load(a, segment, M.ShiftedData);
        for (int n = _random.Next(1, 4); n > 0; n--)
        {
            a.mov(edx, __dword_ptr[Middle + Displacement()]);
            a.mov(__dword_ptr.es[Middle + Displacement()], edx);
            a.add(__word_ptr[Middle + Displacement()], Pick(Halves));
        }

        if (_random.Next(2) == 0)
        {
            // To a block of its own, which may have been translated as flat.
            a.call(FunctionAddress());
        }

        a.pop(eax);
        a.mov(segment, ax);
        a.pop(eax);
    }

    private void Based(Assembler a)
    {
        switch (_random.Next(6))
        {
            case 0: a.mov(Pick(Words), __dword_ptr.gs[_random.Next(0x1000)]); break;
            case 1: a.add(__dword_ptr.gs[_random.Next(0x1000)], Pick(Words)); break;
            case 2:
                a.mov(esi, _random.Next(-0x40, 0x40));
                a.xor(__byte_ptr.gs[esi + 0x60], Pick(Bytes));
                break;
            case 3: a.mov(Pick(Words), __dword_ptr.fs[_random.Next(0xFFC)]); break;
            case 4: a.sub(__dword_ptr.fs[_random.Next(0xFFC)], Pick(Words)); break;
            default: a.lea(Pick(Words), __dword_ptr.gs[ebp + Displacement()]); break;
        }
    }

    // Absolute moves of the accumulator, decimal arithmetic, and addresses of 16 bits.
    private void OnlyHere(Assembler a)
    {
        switch (_random.Next(8))
        {
            case 0:
                a.db(0xA1);
                a.dd(Middle + (uint)_random.Next(64));
                break;
            case 1:
                a.db(0xA3);
                a.dd(Middle + (uint)_random.Next(64));
                break;
            case 2:
                a.db(0xA2);
                a.dd(Middle + (uint)_random.Next(64));
                break;
            case 3:
                a.db(0x66, 0xA1);
                a.dd(Middle + (uint)_random.Next(64));
                break;
            case 4:
                a.aad(10);
                a.cmp(al, 5);
                break;
            case 5: a.lea(Pick(Words), __[bx + si + 5]); break;
            case 6: a.lea(Pick(Halves), __[ebp + Displacement()]); break;
            default: a.cld(); break;
        }
    }

    // Changes the immediate of an instruction right behind, by the code's own address.
    private void Modify(Assembler a)
    {
        // Where POP is, and behind it LEA and MOV of three bytes each.
        var here = a.CreateLabel();
        bool apart = _random.Next(2) == 0;
        a.call(here);
        a.Label(ref here);
        a.pop(ebx);
        a.lea(ebx, __[ebx + (apart ? 8 : 7)]);
        a.mov(__byte_ptr[ebx + _random.Next(1, 5)], Pick(Bytes));
        if (apart)
        {
            a.nop();
        }

        a.mov(Pick([eax, ecx, edx, esi]), _random.Next());
        if (_random.Next(3) == 0)
        {
            a.mov(esi, Base + (uint)(_random.Next(Functions) * FunctionBytes) + FunctionBytes - 1);
            a.mov(__byte_ptr[esi], al);
        }
    }

    private void Remap(Assembler a)
    {
        if (user)
        {
            a.call(Swapped + (uint)(_random.Next(-3, 3) << 12));
            return;
        }

        switch (_random.Next(5))
        {
            case 0:
                a.invlpg(__[ebp]);
                break;
            case 1:
                a.mov(edx, cr3);
                a.mov(cr3, edx);
                break;
            case 2:
                // Two data pages change places.
                a.xor(__dword_ptr[_placeOfEntry(Windows + 0x1000)], 0x3000);
                a.invlpg(__[ebp]);
                break;
            default:
                // Another page of code at the same address, and a call there, to the start of a function.
                uint page = Swapped + (uint)(_random.Next(-3, 3) << 12);
                a.mov(esi, page);
                a.mov(__dword_ptr[_placeOfEntry(page)], (int)(Base + ((uint)_random.Next(CodePages) << 12)) | 3);
                a.invlpg(__[esi]);
                a.call(esi);
                break;
        }
    }
}
