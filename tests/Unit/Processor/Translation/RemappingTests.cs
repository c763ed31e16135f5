using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>A linear page of code that becomes another page, or none: what was translated at its address must not be met again.</summary>
public sealed class RemappingTests
{
    private const ulong Page = M.Free, NextPage = M.Free + 0x1000, First = M.Code + 0x2000, Other = M.Code + 0x4000;
    private const ulong Kernel = M.Present | M.Writable, OtherDirectory = 0x5000;

    public enum Flush
    {
        Invlpg,
        Cr3,
        GlobalAndCr4,
        InvpcidAddress,
        InvpcidAll,
    }

    [Theory]
    [InlineData(Flush.Invlpg)]
    [InlineData(Flush.Cr3)]
    [InlineData(Flush.GlobalAndCr4)]
    [InlineData(Flush.InvpcidAddress)]
    [InlineData(Flush.InvpcidAll)]
    public void A_called_page_becomes_another(Flush flush) => TranslationComparison.Run(
        m =>
        {
            ulong flags = Kernel | (flush == Flush.GlobalAndCr4 ? M.Global : 0);
            LoadPages(m, 0);
            m.Map(Page, First, flags);
            RunSwapping(m, Page, First ^ Other, flush);
        },
        m => Assert.Equal((10ul * 1) + (10ul * 100), m.Register(2)));

    [Theory]
    [InlineData(Flush.Invlpg)]
    [InlineData(Flush.Cr3)]
    [InlineData(Flush.GlobalAndCr4)]
    [InlineData(Flush.InvpcidAddress)]
    [InlineData(Flush.InvpcidAll)]
    public void The_second_page_of_an_instruction_becomes_another(Flush flush) => TranslationComparison.Run(
        m =>
        {
            ulong flags = Kernel | (flush == Flush.GlobalAndCr4 ? M.Global : 0);
            LoadPages(m, 0xFFE);
            m.Map(Page, M.Code + 0x6000, flags);
            m.Map(NextPage, First + 0x1000, flags);
            // B8 and one byte in the first page.
            m.Memory[(int)(M.Code + 0x6FFE)] = 0xB8;
            m.Memory[(int)(M.Code + 0x6FFF)] = 1;
            RunSwapping(m, Page + 0xFFE, (First + 0x1000) ^ (Other + 0x1000), flush, NextPage);
        });

    [Theory]
    [InlineData(0ul, 0x10ul)]
    [InlineData(Kernel | M.NoExecute, 0x11ul)]
    public void A_page_that_may_not_be_fetched_from_any_more_faults(ulong flags, ulong error) => TranslationComparison.Run(
        m =>
        {
            m.Cpu.Efer |= 0x800;
            LoadPages(m, 0);
            m.Map(Page, First, Kernel);
            m.Write(M.Data, flags == 0 ? 0 : First | flags);
            m.Execute(a =>
            {
                a.mov(rbx, Page);
                a.mov(ecx, 5);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.call(rbx);
                a.dec(ecx);
                a.jnz(again);
                a.mov(rax, __qword_ptr[M.Data]);
                a.mov(__qword_ptr[M.EntryOf(Page)], rax);
                a.invlpg(__[rbx]);
                a.stc();
                a.call(rbx);
            });
        },
        m =>
        {
            Assert.Equal(14, m.Vector);
            Assert.Equal(error, m.Frame(0));
            Assert.Equal(Page, m.Frame(1));
            Assert.Equal(M.StackTop - 8, m.Frame(4));
            Assert.Equal(5ul, m.Register(2));
        });

    [Fact]
    public void The_second_page_of_an_instruction_goes_away() => TranslationComparison.Run(
        m =>
        {
            LoadPages(m, 0xFFE);
            m.Map(Page, First, Kernel);
            m.Map(NextPage, First + 0x1000, Kernel);
            m.Execute(a =>
            {
                a.mov(rbx, Page + 0xFFE);
                a.call(rbx);
                a.call(rbx);
                a.call(rbx);
                a.mov(__qword_ptr[M.EntryOf(NextPage)], 0);
                a.mov(rax, NextPage);
                a.invlpg(__[rax]);
                a.call(rbx);
            });
        },
        m =>
        {
            Assert.Equal(14, m.Vector);
            Assert.Equal(Page + 0xFFE, m.Frame(1));
            Assert.Equal(NextPage, m.Cpu.Cr2);
        });

    [Fact]
    public void INVLPG_of_the_running_page_fetches_anew() => TranslationComparison.Run(
        m =>
        {
            foreach (ulong at in (ulong[])[First, Other])
            {
                ulong value = at == First ? 1ul : 100ul;
                m.Load(at, a =>
                {
                    a.xor(__qword_ptr[rsi], rdi);
                    a.invlpg(__[rbx]);
                    a.add(rdx, (int)value);
                    a.ret();
                }, Page);
            }

            m.Map(Page, First, Kernel);
            m.Execute(a =>
            {
                a.mov(rbx, Page);
                a.mov(rsi, M.EntryOf(Page));
                a.mov(edi, (int)(First ^ Other));
                a.mov(ecx, 21);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.call(rbx);
                a.dec(ecx);
                a.jnz(again);
            });
        },
        m => Assert.Equal((11ul * 100) + 10, m.Register(2)));

    [Fact]
    public void A_global_page_survives_CR3_and_code_there_is_the_old_one() => TranslationComparison.Run(
        m =>
        {
            LoadPages(m, 0);
            m.Cpu.Cr4 |= 0x80;
            m.Map(Page, First, Kernel | M.Global);
            m.Execute(a =>
            {
                a.mov(rbx, Page);
                a.call(rbx);
                a.call(rbx);
                a.mov(rax, cr3);
                a.mov(cr3, rax);
                a.call(rbx);
                a.invlpg(__[rbx]);
                a.call(rbx);
            });
        },
        m => Assert.Equal(4ul, m.Register(2)));

    [Fact]
    public void Two_address_spaces_have_other_code_at_the_same_address() => TranslationComparison.Run(
        m =>
        {
            LoadPages(m, 0);
            // A second set of tables that differs in one page.
            m.Memory.Slice((int)M.Directory, 0x3000).CopyTo(m.Memory[(int)OtherDirectory..]);
            m.Write(OtherDirectory, (OtherDirectory + 0x1000) | 7);
            m.Write(OtherDirectory + 0x1000, (OtherDirectory + 0x2000) | 7);
            m.Memory.Slice((int)M.Tables + 0x2000, 0x1000).CopyTo(m.Memory[0x1_8000..]);
            m.Write(OtherDirectory + 0x2010, 0x1_8000 | 7);
            m.Map(Page, First, Kernel);
            m.Write(0x1_8000 + (((Page >> 12) & 511) * 8), Other | Kernel);
            m.Execute(a =>
            {
                a.mov(rbx, Page);
                a.mov(rsi, M.Directory);
                a.mov(rdi, OtherDirectory);
                a.mov(ecx, 30);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.call(rbx);
                a.mov(cr3, rdi);
                a.call(rbx);
                a.call(rbx);
                a.mov(cr3, rsi);
                a.call(rbx);
                a.dec(ecx);
                a.jnz(again);
            });
        },
        m => Assert.Equal(30ul * 202, m.Register(2)));

    [Fact]
    public void A_data_page_that_becomes_another_is_read_anew() => TranslationComparison.Run(
        m =>
        {
            m.Map(Page, M.Data, Kernel);
            m.Write(M.Data, 1);
            m.Write(M.Data + 0x1000, 1000);
            m.Execute(a =>
            {
                a.mov(rbx, Page);
                a.mov(rsi, M.EntryOf(Page));
                a.mov(ecx, 20);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.add(rdx, __qword_ptr[rbx]);
                a.add(__qword_ptr[rbx + 8], 1);
                a.xor(__qword_ptr[rsi], 0x1000);
                a.invlpg(__[rbx]);
                a.dec(ecx);
                a.jnz(again);
            });
        },
        m =>
        {
            Assert.Equal(10010ul, m.Register(2));
            Assert.Equal(10ul, m.Read(M.Data + 8));
            Assert.Equal(10ul, m.Read(M.Data + 0x1008));
        });

    [Fact]
    public void STAC_and_CLAC_open_and_close_user_pages_in_one_loop() => TranslationComparison.Run(
        m =>
        {
            m.Cpu.Cr4 |= 0x20_0000;
            m.Map(Page, M.Data, Kernel | M.User);
            m.Execute(a =>
            {
                a.mov(rbx, Page);
                a.mov(ecx, 10);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.stac();
                a.add(__qword_ptr[rbx], 1);
                a.add(__qword_ptr[rbx + 8], 1);
                a.clac();
                a.add(rdx, 1);
                a.dec(ecx);
                a.jnz(again);
                a.stac();
                a.mov(rax, __qword_ptr[rbx]);
                a.clac();
                a.mov(rdi, 5);
                a.mov(rax, __qword_ptr[rbx + 8]);
            });
        },
        m =>
        {
            Assert.Equal(14, m.Vector);
            Assert.Equal(1ul, m.Frame(0));
            Assert.Equal(10ul, m.Register(2));
            Assert.Equal(5ul, m.Register(7));
            Assert.Equal(10ul, m.Register(0));
        });

    [Fact]
    public void Code_met_without_SMAP_obeys_it_once_it_is_on() => TranslationComparison.Run(
        m =>
        {
            m.Map(Page, M.Data, Kernel | M.User);
            m.Load(First, a =>
            {
                a.stac();
                a.mov(rax, __qword_ptr[rbx]);
                a.clac();
                a.inc(rdx);
                a.ret();
            });
            m.Load(Other, a =>
            {
                a.mov(rax, __qword_ptr[rbx + 8]);
                a.add(rax, __qword_ptr[rbx + 16]);
                a.inc(rdx);
                a.ret();
            });
            m.Execute(a =>
            {
                a.mov(rbx, Page);
                var part = a.CreateLabel();
                for (int n = 0; n < 4; n++)
                {
                    a.call(First);
                    a.call(Other);
                }

                a.mov(rax, cr4);
                a.or(rax, 0x20_0000);
                a.mov(cr4, rax);
                a.clac();
                a.call(First);
                a.call(First);
                a.call(Other);
            });
        },
        m =>
        {
            Assert.Equal(14, m.Vector);
            Assert.Equal(10ul, m.Register(2));
            Assert.Equal(Other, m.Frame(1));
        });

    [Fact]
    public void POPFQ_of_AC_changes_what_the_next_access_may_touch() => TranslationComparison.Run(
        m =>
        {
            m.Cpu.Cr4 |= 0x20_0000;
            m.Map(Page, M.Data, Kernel | M.User);
            m.Execute(a =>
            {
                a.mov(rbx, Page);
                a.mov(ecx, 6);
                var again = a.CreateLabel();
                a.Label(ref again);
                a.pushfq();
                a.or(__dword_ptr[rsp], 0x4_0000);
                a.popfq();
                a.inc(__qword_ptr[rbx]);
                a.pushfq();
                a.btr(__dword_ptr[rsp], 18);
                a.popfq();
                a.dec(ecx);
                a.jnz(again);
                a.inc(__qword_ptr[rbx]);
            });
        },
        m =>
        {
            Assert.Equal(14, m.Vector);
            Assert.Equal(6ul, m.Read(M.Data));
        });

    [Fact]
    public void User_code_does_not_get_at_what_the_supervisor_has_in_the_buffer() => TranslationComparison.Run(
        m =>
        {
            m.Map(Page, First, Kernel | M.User);
            m.Map(NextPage, M.Data, Kernel | M.User);
            m.Map(M.Free + 0x2000, M.Data + 0x1000, Kernel);
            m.Load(First, a =>
            {
                a.mov(rsi, M.Free + 0x2000);
                a.mov(rbp, NextPage + 0x800);
                a.mov(__qword_ptr[rbp], 5);
                a.mov(__qword_ptr[rbp + 8], 6);
                a.inc(rdx);
                a.stc();
                a.mov(rax, __qword_ptr[rsi]);
                a.mov(rax, __qword_ptr[rsi + 8]);
                a.hlt();
            }, Page);
            m.Execute(a =>
            {
                a.mov(rsi, M.Free + 0x2000);
                a.mov(__qword_ptr[rsi], 1);
                a.mov(__qword_ptr[rsi + 8], 1);
                a.mov(rbx, Page);
                a.push(M.UserData);
                a.push((int)(NextPage + 0x800));
                a.push(2);
                a.push(M.UserCode);
                a.push((int)Page);
                a.iretq();
            });
        },
        m =>
        {
            Assert.Equal(14, m.Vector);
            Assert.Equal(5ul, m.Frame(0));
            Assert.Equal(1ul, m.Frame(3) & 1);
            Assert.Equal(1ul, m.Register(2));
        });

    // At the same offset of two pages: code that adds 1, and code that adds 100.
    private static void LoadPages(M m, ulong offset)
    {
        foreach (ulong at in (ulong[])[First, Other])
        {
            m.Load(at + offset, a =>
            {
                a.mov(eax, at == First ? 1 : 0x6401);
                a.movzx(eax, at == First ? al : ah);
                a.add(rdx, rax);
                a.ret();
            });
        }
    }

    private static void RunSwapping(M m, ulong entry, ulong difference, Flush flush, ulong? page = null)
    {
        ulong swapped = page ?? Page;
        if (flush == Flush.GlobalAndCr4)
        {
            m.Cpu.Cr4 |= 0x80;
        }

        m.Write(M.Data, 0);
        m.Write(M.Data + 8, flush == Flush.InvpcidAddress ? swapped : 0);
        m.Execute(a =>
        {
            a.mov(rbx, entry);
            a.mov(rbp, swapped);
            a.mov(rsi, M.EntryOf(swapped));
            a.mov(edi, (int)difference);
            a.mov(ecx, 20);
            var again = a.CreateLabel();
            a.Label(ref again);
            a.call(rbx);
            a.xor(__qword_ptr[rsi], rdi);
            switch (flush)
            {
                case Flush.Invlpg:
                    a.invlpg(__[rbp]);
                    break;
                case Flush.Cr3:
                    a.mov(rax, cr3);
                    a.mov(cr3, rax);
                    break;
                case Flush.GlobalAndCr4:
                    a.mov(rax, cr4);
                    a.xor(rax, 0x80);
                    a.mov(cr4, rax);
                    a.xor(rax, 0x80);
                    a.mov(cr4, rax);
                    break;
                default:
                    a.mov(r9d, flush == Flush.InvpcidAddress ? 0 : 2);
                    a.mov(r10, M.Data);
                    a.invpcid(r9, __[r10]);
                    break;
            }

            a.dec(ecx);
            a.jnz(again);
        });
    }
}
