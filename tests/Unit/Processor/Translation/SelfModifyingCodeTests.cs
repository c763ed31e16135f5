using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>Stores into code, by whichever address, are seen by the next instruction (Intel SDM vol. 3A, 12.6).</summary>
public sealed class SelfModifyingCodeTests
{
    private const ulong Alias = M.Free, Second = M.Code + 0x1000;
    private const byte Immediate = 1;

    [Fact]
    public void A_store_ahead_of_itself_in_the_running_block_counts() => TranslationComparison.Run(
        m => m.Execute(a =>
        {
            var target = a.CreateLabel();
            a.mov(ecx, 20);
            var again = a.CreateLabel();
            a.Label(ref again);
            a.lea(rbx, __[target]);
            a.mov(__byte_ptr[rbx + Immediate], cl);
            a.nop();
            a.Label(ref target);
            a.mov(eax, 0);
            a.add(edx, eax);
            a.dec(ecx);
            a.jnz(again);
        }),
        m => Assert.Equal(210ul, m.Register(2)));

    [Fact]
    public void A_store_behind_itself_counts_the_next_time() => TranslationComparison.Run(
        m => m.Execute(a =>
        {
            var target = a.CreateLabel();
            a.mov(ecx, 20);
            a.lea(rbx, __[target]);
            a.Label(ref target);
            a.mov(eax, 0);
            a.add(edx, eax);
            a.mov(__byte_ptr[rbx + Immediate], cl);
            a.dec(ecx);
            a.jnz(target);
        }),
        m => Assert.Equal(209ul, m.Register(2)));

    [Fact]
    public void A_store_into_a_linked_block_of_the_page_counts() => TranslationComparison.Run(
        m =>
        {
            m.Load(M.Code + 0x800, a =>
            {
                a.mov(eax, 0);
                a.add(edx, eax);
                a.jmp(M.Code + 0x900);
            });
            m.Load(M.Code + 0x900, a => a.ret());
            m.Execute(a =>
            {
                a.mov(ecx, 50);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.call(M.Code + 0x800);
                a.call(M.Code + 0x800);
                a.mov(rbx, M.Code + 0x800);
                a.mov(__byte_ptr[rbx + Immediate], cl);
                a.dec(ecx);
                a.jnz(again);
            });
        },
        m => Assert.Equal(2ul * ((50 * 51 / 2) - 1), m.Register(2)));

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void A_store_into_another_page_counts(bool alias) => TranslationComparison.Run(
        m =>
        {
            m.Map(Alias, Second, M.Present | M.Writable);
            m.Load(Second, a =>
            {
                a.mov(eax, 7);
                a.add(edx, eax);
                a.ret();
            });
            m.Execute(a =>
            {
                a.mov(ecx, 20);
                a.mov(rbx, alias ? Alias : Second);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.call(Second);
                a.mov(__byte_ptr[rbx + Immediate], cl);
                a.dec(ecx);
                a.jnz(again);
            });
        },
        m => Assert.Equal(7ul + (20 * 21 / 2) - 1, m.Register(2)));

    [Fact]
    public void A_store_through_an_alias_into_the_running_block_counts() => TranslationComparison.Run(
        m =>
        {
            m.Map(Alias, M.Code, M.Present | M.Writable);
            m.Execute(a =>
            {
                var target = a.CreateLabel();
                a.mov(ecx, 20);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.lea(rbx, __[target]);
                a.add(rbx, (int)(Alias - M.Code));
                a.mov(__byte_ptr[rbx + Immediate], cl);
                a.Label(ref target);
                a.mov(eax, 0);
                a.add(edx, eax);
                a.dec(ecx);
                a.jnz(again);
            });
        },
        m => Assert.Equal(210ul, m.Register(2)));

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void The_second_half_of_an_instruction_in_two_pages_may_be_rewritten(int split) => TranslationComparison.Run(
        m =>
        {
            // MOV EAX, imm32 across the boundary, entered by a jump, with a fall-through into it.
            ulong start = Second - (ulong)split;
            m.Load(start, a =>
            {
                a.mov(eax, 0x0101_0101);
                a.add(rdx, rax);
                a.ret();
            });
            m.Execute(a =>
            {
                a.mov(ecx, 20);
                a.mov(rbx, start);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.call(start);
                a.mov(__byte_ptr[rbx + 4], cl);
                a.dec(ecx);
                a.jnz(again);
            });
        },
        m => Assert.NotEqual(0ul, m.Register(2)));

    [Fact]
    public void A_push_may_write_code() => TranslationComparison.Run(
        m =>
        {
            m.Load(Second, a =>
            {
                a.mov(eax, 1);
                a.add(edx, eax);
                a.jmp(rdi);
            });
            byte[] other = M.Assemble(Second, a =>
            {
                a.mov(eax, 100);
                a.add(edx, eax);
                a.nop();
            });
            ulong word = BitConverter.ToUInt64(other);
            m.Execute(a =>
            {
                var behind = a.CreateLabel();
                var again = a.CreateLabel();
                a.mov(ecx, 8);
                a.mov(r11, word);
                a.lea(rdi, __[behind]);
                a.Label(ref again);
                a.mov(rsi, Second);
                a.jmp(rsi);
                a.Label(ref behind);
                a.mov(r9, rsp);
                a.lea(rsp, __[rsi + 8]);
                a.push(r11);
                a.mov(rsp, r9);
                a.dec(ecx);
                a.jnz(again);
            });
        });

    [Fact]
    public void A_page_rewritten_and_run_over_and_over_is_always_the_newest() => TranslationComparison.Run(
        m => m.Execute(a =>
        {
            // Writes "add edx, imm8; ret" at a moving place and calls it.
            var again = a.CreateLabel();
            a.mov(ecx, 500);
            a.Label(ref again);
            a.mov(eax, ecx);
            a.and(eax, 63);
            a.mov(rbx, Second);
            a.lea(rbx, __[rbx + (rax * 8)]);
            a.mov(esi, ecx);
            a.and(esi, 127);
            a.shl(esi, 16);
            a.or(esi, unchecked((int)0xC300_C283));
            a.mov(__dword_ptr[rbx], esi);
            a.call(rbx);
            a.dec(ecx);
            a.jnz(again);
        }),
        m => Assert.Equal((ulong)Enumerable.Range(1, 500).Sum(n => n & 127), m.Register(2)));

    [Fact]
    public void A_string_store_over_the_running_loop_counts() => TranslationComparison.Run(m => m.Execute(a =>
    {
        var target = a.CreateLabel();
        var again = a.CreateLabel();
        a.mov(r8d, 30);
        a.Label(ref again);
        a.lea(rdi, __[target]);
        a.inc(rdi);
        a.mov(eax, r8d);
        a.mov(ecx, 4);
        a.rep.stosb();
        a.Label(ref target);
        a.mov(esi, 0);
        a.add(rdx, rsi);
        a.dec(r8d);
        a.jnz(again);
    }));
}
