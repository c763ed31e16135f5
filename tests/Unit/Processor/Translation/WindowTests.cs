using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>Several accesses of a block through one register, where they lie in two pages or one of them may not be touched.</summary>
public sealed unsafe class WindowTests
{
    private const ulong Pages = M.Free, Kernel = M.Present | M.Writable;

    public enum Second
    {
        Mapped,
        ReadOnly,
        Absent,
        Code,
    }

    [Theory]
    [InlineData(Second.Mapped)]
    [InlineData(Second.ReadOnly)]
    [InlineData(Second.Absent)]
    [InlineData(Second.Code)]
    public void Accesses_walk_over_a_page_boundary(Second second) => Walk(second, (a, step) =>
    {
        a.add(__qword_ptr[rbx - 24], rax);
        a.add(rax, __qword_ptr[rbx]);
        a.mov(__dword_ptr[rbx + 40], eax);
        a.xchg(__word_ptr[rbx + 17], ax);
        a.mov(__byte_ptr[rbx + 63], al);
        a.add(rbx, 8);
        a.inc(__byte_ptr[rbx]);
        a.sub(rbx, 3);
        a.adc(__qword_ptr[rbx + 3], rcx);
        a.inc(rbx);
        a.mov(__byte_ptr[rbx], ah);
        a.dec(rbx);
        a.add(rbx, step);
    });

    [Theory]
    [InlineData(Second.Mapped)]
    [InlineData(Second.ReadOnly)]
    [InlineData(Second.Absent)]
    [InlineData(Second.Code)]
    public void Registers_in_memory_are_bases_and_operands(Second second) => Walk(second, (a, step) =>
    {
        foreach (var register in (AssemblerRegister64[])[r10, r11, r14, r15])
        {
            a.mov(register, rbx);
            a.add(__qword_ptr[register - 8], register);
            a.mov(__qword_ptr[register + 8], r11);
            a.xor(r14, __qword_ptr[register]);
            a.lea(register, __[register + 16]);
        }

        a.mov(r10, rbx);
        a.mov(r14, rbx);
        a.add(r10, 32);
        a.add(__dword_ptr[r10 - 32], r14d);
        a.sub(r10, 16);
        a.mov(__word_ptr[r10], r15w);
        a.inc(r10);
        a.mov(__byte_ptr[r10], r11b);
        a.xor(r11d, r11d);
        a.mov(r15, __qword_ptr[r10 + (r11 * 4) + 5]);
        a.xadd(__qword_ptr[r10], r15);
        a.cmpxchg(__qword_ptr[r10 + 8], r14);
        a.add(rbx, step);
    });

    [Theory]
    [InlineData(Second.Mapped)]
    [InlineData(Second.ReadOnly)]
    [InlineData(Second.Absent)]
    [InlineData(Second.Code)]
    public void High_bytes_are_operands_within_a_window(Second second) => Walk(second, (a, step) =>
    {
        a.mov(__byte_ptr[rbx], ah);
        a.add(ch, __byte_ptr[rbx + 1]);
        a.xor(__byte_ptr[rbx + 12], dh);
        a.mov(ah, __byte_ptr[rbx + 3]);
        a.mov(rsi, rbx);
        a.mov(__byte_ptr[rsi + 2], bh);
        a.add(__byte_ptr[rsi + 1], ch);
        a.mov(r10, rbx);
        a.movzx(eax, __byte_ptr[r10 + 7]);
        a.mov(__byte_ptr[rsi + 9], ah);
        a.add(rbx, step);
    });

    [Theory]
    [InlineData(Second.Mapped)]
    [InlineData(Second.ReadOnly)]
    [InlineData(Second.Absent)]
    [InlineData(Second.Code)]
    public void The_base_is_changed_between_accesses(Second second) => Walk(second, (a, step) =>
    {
        a.mov(rdx, rbx);
        a.mov(__qword_ptr[rdx], rax);
        a.add(rax, __qword_ptr[rdx + 8]);
        a.lea(rdx, __[rdx + 4]);
        a.mov(__dword_ptr[rdx], eax);
        a.add(rax, __qword_ptr[rdx + 8]);
        a.xchg(rdx, rsi);
        a.mov(__byte_ptr[rsi + 1], 5);
        a.mov(rdx, rsi);
        a.mov(eax, 3);
        a.mul(rcx);
        a.mov(rdx, rbx);
        a.add(__qword_ptr[rdx + 1], rax);
        a.mov(dl, 0x40);
        a.add(__qword_ptr[rdx + 1], rax);
        a.mov(rdx, rbx);
        a.and(rdx, -16);
        a.add(__qword_ptr[rdx + 2], rax);
        a.cmove(rdx, rbx);
        a.add(__qword_ptr[rdx + 2], rax);
        a.mov(rdx, rbx);
        a.add(rdx, 300);
        a.sub(rdx, 299);
        a.add(__qword_ptr[rdx + 2], rax);
        a.sub(rdx, -7);
        a.inc(__qword_ptr[rdx]);
        a.add(rbx, step);
    });

    [Theory]
    [InlineData(Second.Mapped)]
    [InlineData(Second.ReadOnly)]
    [InlineData(Second.Absent)]
    [InlineData(Second.Code)]
    public void The_stack_lies_over_a_page_boundary(Second second) => Walk(second, (a, step) =>
    {
        a.lea(rsp, __[rbx + 8]);
        a.push(rax);
        a.push(rcx);
        a.push(r10);
        a.push(0x1234);
        a.mov(__qword_ptr[rsp + 8], rbx);
        a.add(__dword_ptr[rsp + 3], 7);
        a.stc();
        a.pushfq();
        a.pop(r15);
        a.pop(rsi);
        a.pop(r10);
        a.sub(rsp, 24);
        a.mov(rbp, rsp);
        a.mov(__qword_ptr[rbp], rbp);
        a.push(rsp);
        a.mov(__qword_ptr[rsp + 8], 0x77);
        a.pop(rdi);
        a.leave();
        a.mov(rsp, rbx);
        a.push(__qword_ptr[rsp + 8]);
        a.pop(__qword_ptr[rsp - 8]);
        a.add(rbx, step);
    });

    [Theory]
    [InlineData(Second.Mapped)]
    [InlineData(Second.ReadOnly)]
    [InlineData(Second.Absent)]
    [InlineData(Second.Code)]
    public void Calls_and_returns_have_their_stack_over_a_page_boundary(Second second) => Walk(second, (a, step) =>
    {
        var over = a.CreateLabel();
        var function = a.CreateLabel();
        a.lea(rsp, __[rbx + 8]);
        a.mov(__qword_ptr[rsp - 16], rbx);
        a.call(function);
        a.push(rax);
        a.call(function);
        a.lea(r11, __[function]);
        a.call(r11);
        a.mov(__qword_ptr[rsp - 40], r11);
        a.call(__qword_ptr[rsp - 40]);
        a.jmp(over);
        a.Label(ref function);
        a.push(rdi);
        a.inc(rax);
        a.mov(__qword_ptr[rsp - 24], rax);
        a.pop(rdi);
        a.ret();
        a.Label(ref over);
        a.add(rbx, step);
    });

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(15)]
    public void Aligned_accesses_of_vectors_fault_where_they_are_not_aligned(int offset) => TranslationComparison.Run(
        m => m.Execute(a =>
        {
            a.mov(rbx, M.Data + (ulong)offset);
            a.mov(ecx, 3);
            var again = a.CreateLabel();
            a.Label(ref again);
            a.movups(__xmmword_ptr[rbx], xmm1);
            a.movdqu(xmm2, __xmmword_ptr[rbx + 16]);
            a.inc(rdx);
            a.paddd(xmm3, xmm2);
            a.stc();
            a.movaps(__xmmword_ptr[rbx + 32], xmm2);
            a.inc(rdx);
            a.paddd(xmm2, __xmmword_ptr[rbx + 48]);
            a.dec(ecx);
            a.jnz(again);
        }),
        m => Assert.Equal(offset == 0 ? -1 : 13, m.Vector));

    [Theory]
    [InlineData(0)]
    [InlineData(16)]
    [InlineData(1)]
    [InlineData(31)]
    public void Aligned_accesses_of_wide_vectors_fault_where_they_are_not_aligned(int offset) => TranslationComparison.Run(m =>
    {
        m.Cpu.State->Xcr0 = 7;
        m.Execute(a =>
        {
            a.mov(rbx, M.Data + (ulong)offset);
            a.mov(ecx, 3);
            var again = a.CreateLabel();
            a.Label(ref again);
            a.vmovups(ymm4, __ymmword_ptr[rbx]);
            a.vpaddd(ymm5, ymm4, __ymmword_ptr[rbx + 32]);
            a.stc();
            a.vmovdqa(__ymmword_ptr[rbx + 64], ymm5);
            a.vmovntdq(__ymmword_ptr[rbx + 96], ymm5);
            a.inc(rdx);
            a.dec(ecx);
            a.jnz(again);
        });
    });

    [Theory]
    [InlineData(Second.Mapped)]
    [InlineData(Second.ReadOnly)]
    [InlineData(Second.Absent)]
    [InlineData(Second.Code)]
    public void Vectors_walk_over_a_page_boundary(Second second) => Walk(second, (a, step) =>
    {
        a.movups(xmm1, __xmmword_ptr[rbx]);
        a.paddb(xmm1, xmm0);
        a.movups(__xmmword_ptr[rbx + 3], xmm1);
        a.movq(xmm2, __qword_ptr[rbx + 20]);
        a.movd(__dword_ptr[rbx + 30], xmm2);
        a.movss(xmm3, __dword_ptr[rbx + 33]);
        a.pxor(xmm0, xmm3);
        a.movhps(__qword_ptr[rbx + 36], xmm0);
        a.mov(__qword_ptr[rbx], rbx);
        a.add(rbx, step);
    });

    // Two pages that are no neighbours in memory, the base from 100 bytes before the boundary to 40 behind it.
    private static void Walk(Second second, Action<Assembler, int> body)
    {
        foreach (int step in (int[])[1, 7])
        {
            TranslationComparison.Run(m =>
            {
                new Random(5).NextBytes(m.Memory.Slice((int)M.Data, 0x4000));
                m.Map(Pages, M.Data + 0x2000, Kernel);
                m.Map(Pages + 0x1000, M.Data, second switch
                {
                    Second.ReadOnly => M.Present,
                    Second.Absent => 0,
                    _ => Kernel,
                });
                m.Load(M.Data + 0xF00, a => a.ret());
                m.Execute(a =>
                {
                    var again = a.CreateLabel();
                    a.mov(eax, 0x0102_0304);
                    a.mov(rbx, M.Data + 0xF00);
                    a.call(rbx);
                    a.mov(rbx, Pages + 0x1000 - 400);
                    a.mov(r12, Pages + 0x1000 + 40);
                    a.mov(r13, M.Data + 0xF00);
                    a.Label(ref again);
                    body(a, step);
                    if (second == Second.Code)
                    {
                        a.mov(r9, rsp);
                        a.mov(rsp, M.StackTop);
                        a.call(r13);
                        a.mov(rsp, r9);
                    }

                    a.cmp(rbx, r12);
                    a.jb(again);
                });
            });
        }
    }
}
