using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>Exceptions in the middle of a translated block show the registers and flags of the instruction that raised them.</summary>
public sealed unsafe class ExactFaultTests
{
    private const int Rdx = 2;
    private const ulong NonCanonical = 0x0000_8000_0000_0000;

    public static TheoryData<string, int> Divisions()
    {
        var data = new TheoryData<string, int>();
        foreach (string name in (string[])["div8", "div16", "div32", "div64", "idiv8", "idiv16", "idiv32", "idiv64", "div32m", "div64m", "idiv32m", "idiv64m", "div64r"])
        {
            for (int n = 0; n < 3; n++)
            {
                data.Add(name, n);
            }
        }

        return data;
    }

    [Theory]
    [MemberData(nameof(Divisions))]
    public void A_division_without_a_quotient_leaves_all_as_it_was(string kind, int problem) => TranslationComparison.Run(m =>
    {
        m.Write(M.Data, problem == 0 ? 0 : problem == 1 ? 3 : ulong.MaxValue);
        Fault(m, a =>
        {
            a.mov(rbx, __qword_ptr[M.Data]);
            a.mov(r14, rbx);
            a.mov(rdi, M.Data);
            // The most negative dividend for -1, one that is too large for 3.
            int width = kind.Contains('8') ? 8 : kind.Contains("16") ? 16 : kind.Contains("32") ? 32 : 64;
            a.mov(rax, width == 8 ? problem == 2 ? 0xFF80ul : 0x7F00ul : problem == 2 ? 1ul << (width - 1) : 0x5555);
            a.mov(rdx, problem == 2 ? ulong.MaxValue : 0x7F);
        }, a =>
        {
            switch (kind)
            {
                case "div8": a.div(bl); break;
                case "div16": a.div(bx); break;
                case "div32": a.div(ebx); break;
                case "div64": a.div(rbx); break;
                case "div64r": a.div(r14); break;
                case "idiv8": a.idiv(bl); break;
                case "idiv16": a.idiv(bx); break;
                case "idiv32": a.idiv(ebx); break;
                case "idiv64": a.idiv(rbx); break;
                case "div32m": a.div(__dword_ptr[rdi]); break;
                case "div64m": a.div(__qword_ptr[rdi]); break;
                case "idiv32m": a.idiv(__dword_ptr[rdi]); break;
                default: a.idiv(__qword_ptr[rdi]); break;
            }
        });
    }, m => Assert.Equal(0, m.Vector));

    [Theory]
    [InlineData("load", 13)]
    [InlineData("store", 13)]
    [InlineData("update", 13)]
    [InlineData("frame", 12)]
    [InlineData("stack", 12)]
    [InlineData("push", 12)]
    [InlineData("pop", 12)]
    [InlineData("leave", 12)]
    [InlineData("call", 12)]
    [InlineData("ret", 12)]
    [InlineData("edge", 13)]
    [InlineData("gs", 13)]
    [InlineData("jmp", 13)]
    [InlineData("jmpmem", 13)]
    [InlineData("callreg", 13)]
    [InlineData("retto", 13)]
    [InlineData("vector", 13)]
    [InlineData("pushmem", 12)]
    [InlineData("popmem", 12)]
    [InlineData("callmem", 12)]
    public void Addresses_that_are_not_canonical_fault(string kind, int vector) => TranslationComparison.Run(m => Fault(m, a =>
    {
        a.mov(rbx, NonCanonical);
        a.mov(rdi, M.Data);
        a.mov(__qword_ptr[rdi], rbx);
        if (kind is "callmem")
        {
            a.mov(rax, M.Code);
            a.mov(__qword_ptr[rdi], rax);
        }

        if (kind is "stack" or "push" or "pop" or "call" or "ret" or "pushmem" or "popmem" or "callmem")
        {
            a.mov(rsp, kind is "push" or "call" or "pushmem" or "callmem" ? NonCanonical + 64 : NonCanonical);
        }
        else if (kind == "retto")
        {
            a.push(rbx);
        }

        a.mov(rbp, rbx);
    }, a =>
    {
        switch (kind)
        {
            case "load": a.mov(rax, __qword_ptr[rbx + 8]); break;
            case "store": a.mov(__qword_ptr[rbx], rax); break;
            case "update": a.add(__qword_ptr[rbx], rax); break;
            case "frame": a.mov(rax, __qword_ptr[rbp + 16]); break;
            case "stack": a.mov(rax, __qword_ptr[rsp + 16]); break;
            case "push": a.push(rax); break;
            case "pop": a.pop(rax); break;
            case "leave": a.leave(); break;
            case "call": a.call(M.Code); break;
            case "ret": a.ret(); break;
            case "edge": a.mov(rax, __qword_ptr[rbx - 4]); break;
            case "gs": a.mov(rax, __qword_ptr.gs[rbx]); break;
            case "jmp": a.jmp(rbx); break;
            case "jmpmem": a.jmp(__qword_ptr[rdi]); break;
            case "callreg": a.call(rbx); break;
            case "retto": a.ret(); break;
            case "pushmem": a.push(__qword_ptr[rdi]); break;
            case "popmem": a.pop(__qword_ptr[rdi]); break;
            case "callmem": a.call(__qword_ptr[rdi]); break;
            default: a.movups(xmm0, __xmmword_ptr[rbx]); break;
        }
    }), m =>
    {
        Assert.True(m.Vector == vector || (kind == "edge" && m.Vector == 14), $"vector {m.Vector}");
    });

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_call_to_what_is_no_address_does_not_touch_the_stack(bool fromMemory) => TranslationComparison.Run(m =>
    {
        m.Map(M.Free, M.Data + 0x1000, M.Present | M.Writable);
        Fault(m, a =>
        {
            a.mov(rbx, NonCanonical);
            a.mov(rdi, M.Data);
            a.mov(__qword_ptr[rdi], rbx);
            a.mov(rsp, M.Free + 0x800);
        }, a =>
        {
            if (fromMemory)
            {
                a.call(__qword_ptr[rdi]);
            }
            else
            {
                a.call(rbx);
            }
        });
    }, m =>
    {
        const ulong accessedOrDirty = 0x60;
        Assert.Equal(13, m.Vector);
        Assert.Equal(0ul, m.Read(M.EntryOf(M.Free)) & accessedOrDirty);
    });

    [Theory]
    [InlineData(false, 7)]
    [InlineData(true, 7)]
    public void Vectors_fault_while_TS_is_set(bool setInBlock, int vector) => TranslationComparison.Run(m => m.Execute(a =>
    {
        a.mov(ecx, 3);
        var again = a.CreateLabel();
        a.Label(ref again);
        a.mov(edx, ecx);
        a.paddd(xmm1, xmm2);
        a.movups(__xmmword_ptr[M.Data], xmm1);
        a.dec(ecx);
        a.jnz(again);
        a.mov(rax, cr0);
        a.or(eax, 8);
        a.mov(cr0, rax);
        a.mov(ecx, 1);
        if (setInBlock)
        {
            a.stc();
            a.inc(rdx);
            a.movups(xmm3, xmm1);
        }

        a.jmp(again);
    }), m => Assert.Equal(vector, m.Vector));

    [Fact]
    public void CLTS_lets_vectors_run_again() => TranslationComparison.Run(m => m.Execute(a =>
    {
        a.mov(ecx, 5);
        var again = a.CreateLabel();
        a.Label(ref again);
        a.mov(rax, cr0);
        a.or(eax, 8);
        a.mov(cr0, rax);
        a.inc(edx);
        a.clts();
        a.paddd(xmm1, xmm2);
        a.pcmpeqd(xmm2, xmm2);
        a.movups(__xmmword_ptr[M.Data], xmm1);
        a.dec(ecx);
        a.jnz(again);
    }), m => Assert.Equal(-1, m.Vector));

    [Theory]
    [InlineData(0x1D80u, "div")]
    [InlineData(0x1F00u, "invalid")]
    [InlineData(0x0F80u, "inexact")]
    public void An_unmasked_exception_of_vectors_is_raised(uint mxcsr, string kind) => TranslationComparison.Run(m =>
    {
        m.Cpu.Cr4 |= 0x400;
        m.Write(M.Data, mxcsr);
        m.Write(M.Data + 16, 0x3F80_0000);
        m.Write(M.Data + 32, 0x7F80_0001);
        m.Write(M.Data + 48, 0x4040_0000);
        m.Execute(a =>
        {
            a.mov(rbx, M.Data);
            a.mov(ecx, 4);
            var again = a.CreateLabel();
            a.Label(ref again);
            a.cmp(ecx, 1);
            var masked = a.CreateLabel();
            a.jne(masked);
            a.ldmxcsr(__dword_ptr[rbx]);
            a.Label(ref masked);
            a.movss(xmm0, __dword_ptr[rbx + 16]);
            a.pxor(xmm1, xmm1);
            a.inc(edx);
            switch (kind)
            {
                case "div": a.divss(xmm0, xmm1); break;
                case "invalid": a.addss(xmm0, __dword_ptr[rbx + 32]); break;
                default: a.divss(xmm0, __dword_ptr[rbx + 48]); break;
            }

            a.inc(edx);
            a.dec(ecx);
            a.jnz(again);
        });
    }, m =>
    {
        Assert.Equal(19, m.Vector);
        Assert.Equal(7ul, m.Register(Rdx));
    });

    [Fact]
    public void Sticky_flags_of_MXCSR_are_the_guests() => TranslationComparison.Run(m =>
    {
        m.Write(M.Data + 16, 0x3F80_0000);
        m.Write(M.Data + 48, 0x4040_0000);
        m.Execute(a =>
        {
            a.mov(rbx, M.Data);
            a.mov(ecx, 4);
            var again = a.CreateLabel();
            a.Label(ref again);
            a.stmxcsr(__dword_ptr[rbx + 64]);
            a.mov(eax, __dword_ptr[rbx + 64]);
            a.movss(xmm0, __dword_ptr[rbx + 16]);
            a.divss(xmm0, __dword_ptr[rbx + 48]);
            a.stmxcsr(__dword_ptr[rbx + 64]);
            a.add(edx, __dword_ptr[rbx + 64]);
            a.mov(__dword_ptr[rbx + 64], 0x7F80);
            a.ldmxcsr(__dword_ptr[rbx + 64]);
            a.dec(ecx);
            a.jnz(again);
        });
    });

    [Fact]
    public void AVX_is_undefined_while_XCR0_lacks_it() => TranslationComparison.Run(m =>
    {
        m.Cpu.State->Xcr0 = 7;
        m.Execute(a =>
        {
            a.mov(rbx, M.Data);
            a.mov(r8d, 3);
            var again = a.CreateLabel();
            a.Label(ref again);
            a.inc(r9d);
            a.vpaddd(ymm1, ymm1, ymm2);
            a.vmovups(__ymmword_ptr[rbx], ymm1);
            a.dec(r8d);
            a.jnz(again);
            a.mov(eax, 3);
            a.xor(edx, edx);
            a.xor(ecx, ecx);
            a.xsetbv();
            a.mov(r8d, 1);
            a.jmp(again);
        });
    }, m =>
    {
        Assert.Equal(6, m.Vector);
        Assert.Equal(4ul, m.Register(9));
    });

    [Theory]
    [InlineData("load")]
    [InlineData("store")]
    [InlineData("add")]
    [InlineData("adc")]
    [InlineData("shl")]
    [InlineData("cmpxchg")]
    [InlineData("cmpxchg16b")]
    [InlineData("cmpxchg16b-odd")]
    [InlineData("bts")]
    [InlineData("btsreg")]
    [InlineData("push")]
    [InlineData("pushmem")]
    [InlineData("popmem")]
    [InlineData("call")]
    [InlineData("callmem")]
    [InlineData("movs")]
    [InlineData("cmov")]
    [InlineData("movaps-odd")]
    [InlineData("xchg")]
    [InlineData("not")]
    [InlineData("setc")]
    [InlineData("straddle")]
    public void A_page_fault_comes_with_live_flags_and_nothing_changed(string kind)
    {
        foreach (ulong flags in (ulong[])[0, M.Present])
        {
            TranslationComparison.Run(m =>
            {
                m.Map(M.Free, M.Data + 0x5000, flags);
                m.Map(M.Free - 0x1000, M.Data + 0x7000, M.Present | M.Writable);
                Fault(m, a =>
                {
                    a.mov(rbx, M.Free + 0x40);
                    a.mov(rdi, rbx);
                    a.mov(rsi, M.Data);
                    a.mov(ecx, 5);
                    a.mov(r8d, 0x2000);
                    if (kind is "push" or "call" or "pushmem" or "callmem" or "popmem")
                    {
                        a.mov(rsp, M.Free + 0x80);
                    }
                }, a =>
                {
                    switch (kind)
                    {
                        case "load": a.adc(rax, __qword_ptr[rbx]); break;
                        case "store": a.mov(__qword_ptr[rbx], rax); break;
                        case "add": a.add(__qword_ptr[rbx], rax); break;
                        case "adc": a.adc(__dword_ptr[rbx], 5); break;
                        case "shl": a.shl(__dword_ptr[rbx], cl); break;
                        case "cmpxchg": a.@lock.cmpxchg(__dword_ptr[rbx], ecx); break;
                        case "cmpxchg16b": a.cmpxchg16b(__xmmword_ptr[rbx]); break;
                        case "cmpxchg16b-odd": a.cmpxchg16b(__xmmword_ptr[rbx + 8]); break;
                        case "bts": a.bts(__dword_ptr[rbx], 3); break;
                        case "btsreg": a.bts(__dword_ptr[rbx], r8d); break;
                        case "push": a.push(rax); break;
                        case "pushmem": a.push(__qword_ptr[rsi]); break;
                        case "popmem": a.pop(__qword_ptr[rbx]); break;
                        case "call": a.call(M.Code); break;
                        case "callmem": a.call(__qword_ptr[rsi]); break;
                        case "movs": a.rep.movsb(); break;
                        case "cmov": a.cmovc(rax, __qword_ptr[rbx]); break;
                        case "movaps-odd": a.movaps(__xmmword_ptr[rbx + 1], xmm0); break;
                        case "xchg": a.xchg(__qword_ptr[rbx], rax); break;
                        case "not": a.not(__qword_ptr[rbx]); break;
                        case "setc": a.setc(__byte_ptr[rbx]); break;
                        default: a.add(__qword_ptr[rbx - 0x43], rax); break;
                    }
                });
            });
        }
    }

    // Runs what may fault in the middle of a block, with arithmetic flags set by what is before it.
    private static void Fault(M m, Action<Assembler> prepare, Action<Assembler> fault)
    {
        m.Execute(a =>
        {
            prepare(a);
            var next = a.CreateLabel();
            a.jmp(next);
            a.Label(ref next);
            a.mov(r11, 0x7FFF_FFFF_FFFF_FFFF);
            a.add(r11, 1);
            a.inc(r9);
            a.stc();
            fault(a);
            a.inc(r9);
            a.clc();
        });
    }
}
