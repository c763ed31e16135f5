using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>MOVS and STOS of all widths: at page boundaries, overlapping, downwards, without a count, and over pages that may not be touched.</summary>
public sealed unsafe class StringTests
{
    private const ulong Pages = M.Free, Kernel = M.Present | M.Writable;
    private const int Bytes = 12;

    public enum Case
    {
        Mapped,
        ReadOnly,
        Absent,
        Downwards,
    }

    [Theory]
    [InlineData(1, Case.Mapped)]
    [InlineData(2, Case.Mapped)]
    [InlineData(4, Case.Mapped)]
    [InlineData(8, Case.Mapped)]
    [InlineData(1, Case.ReadOnly)]
    [InlineData(4, Case.ReadOnly)]
    [InlineData(2, Case.Absent)]
    [InlineData(8, Case.Absent)]
    [InlineData(1, Case.Downwards)]
    [InlineData(8, Case.Downwards)]
    public void Ranges_move_over_page_boundaries(int size, Case @case) => TranslationComparison.Run(m =>
    {
        new Random(3).NextBytes(m.Memory.Slice((int)M.Data, 0x6000));
        m.Map(Pages, M.Data + 0x2000, Kernel);
        m.Map(Pages + 0x1000, M.Data, @case switch
        {
            Case.ReadOnly => M.Present,
            Case.Absent => 0,
            _ => Kernel,
        });
        m.Map(Pages + 0x2000, M.Data + 0x4000, Kernel);
        m.Execute(a =>
        {
            var again = a.CreateLabel();
            a.mov(rax, 0x0123_4567_89AB_CDEF);
            a.mov(rbx, Pages + 0x1000 - 60);
            a.Label(ref again);

            // From behind the boundary to before it and back, overlapping, counts from 0 to a dozen of them, and single ones.
            foreach (int distance in (int[])[-40, -1, 0, 1, 24, 0x1000])
            {
                a.mov(rsi, rbx);
                a.lea(rdi, __[rbx + distance]);
                a.mov(ecx, Bytes);
                a.sub(rbx, 1);
                if (@case == Case.Downwards)
                {
                    a.std();
                }

                a.stc();
                Move(a, size, repeats: true);
                a.adc(rdx, rcx);
                a.mov(ecx, ebx);
                a.and(ecx, 7);
                Store(a, size, repeats: true);
                Move(a, size, repeats: false);
                Store(a, size, repeats: false);
                a.xor(rdx, rsi);
                a.add(rdx, rdi);
                a.add(rbx, 1);
                a.cld();
            }

            a.add(rbx, 3);
            a.mov(r12, Pages + 0x1000 + 20);
            a.cmp(rbx, r12);
            a.jb(again);
        });
    });

    [Theory]
    [InlineData(0x1000ul)]
    [InlineData(0x1001ul)]
    [InlineData(0x200ul)]
    [InlineData(0ul)]
    [InlineData(0x2000_0000_0000_0001ul)]
    [InlineData(0x8000_0000_0000_0000ul)]
    public void Counts_reach_to_a_page_and_beyond(ulong count) => TranslationComparison.Run(m =>
    {
        new Random(4).NextBytes(m.Memory.Slice((int)M.Data, 0x6000));
        m.Execute(a =>
        {
            var again = a.CreateLabel();
            a.mov(ebp, 4);
            a.Label(ref again);
            foreach (int size in (int[])[1, 2, 4, 8])
            {
                // What is more than a few pages runs out of memory, and faults.
                a.mov(rcx, count);
                a.mov(rsi, M.Data);
                a.mov(rdi, M.Data + 0x1_0000);
                Move(a, size, repeats: true);
                a.mov(rcx, count);
                a.mov(rdi, M.Data + 0x2000);
                a.mov(al, bpl);
                Store(a, size, repeats: true);
            }

            a.dec(ebp);
            a.jnz(again);
        });
    });

    [Fact]
    public void Code_that_is_written_by_a_string_instruction_is_run_as_written() => TranslationComparison.Run(m =>
    {
        m.Load(M.Data, a =>
        {
            a.inc(rdx);
            a.ret();
        });
        m.Load(M.Data + 0x100, a =>
        {
            a.dec(rdx);
            a.ret();
        });
        m.Execute(a =>
        {
            var again = a.CreateLabel();
            a.mov(ebx, 6);
            a.Label(ref again);
            a.mov(rax, M.Data);
            a.call(rax);
            a.mov(esi, (int)M.Data + 0x100);
            a.mov(edi, (int)M.Data);
            a.mov(ecx, 4);
            a.rep.movsb();
            a.mov(rax, M.Data);
            a.call(rax);
            a.add(rdx, rdx);
            a.dec(ebx);
            a.jnz(again);
        });
    });

    private static void Move(Assembler a, int size, bool repeats)
    {
        if (repeats)
        {
            a = a.rep;
        }

        switch (size)
        {
            case 1: a.movsb(); break;
            case 2: a.movsw(); break;
            case 4: a.movsd(); break;
            default: a.movsq(); break;
        }
    }

    private static void Store(Assembler a, int size, bool repeats)
    {
        if (repeats)
        {
            a = a.rep;
        }

        switch (size)
        {
            case 1: a.stosb(); break;
            case 2: a.stosw(); break;
            case 4: a.stosd(); break;
            default: a.stosq(); break;
        }
    }
}
