using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;
using M = Hypervisor.Tests.Unit.Processor.Translation.TranslationMachine;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>Endless loops of every kind come to an end when the host or an interrupt wants it.</summary>
public sealed class EndlessLoopTests
{
    private const byte Vector = 0x40;
    private const ulong Far = M.Code + 0x5000;

    public static TheoryData<string> Loops =>
    [
        "self", "jrcxz", "jecxz", "loop", "loop self", "call", "indirect", "indirect memory", "pages", "three pages", "ret", "condition", "recursion",
        "straight", "interpreted", "string", "sti", "stac", "vector", "fall through", "store to code", "iret",
    ];

    [Theory]
    [MemberData(nameof(Loops))]
    public void A_request_to_stop_ends_it(string kind)
    {
        foreach (int threshold in (int[])[0, 1, 3])
        {
            using var machine = new M(threshold);
            Load(machine, kind, stack: M.StackTop);
            for (int n = 0; n < 3; n++)
            {
                RunUntilSignalled(machine, machine.Cpu.RequestStop);
                Assert.Equal(StopReason.Requested, machine.Reason);
                Assert.Equal(-1, machine.Vector);
            }
        }
    }

    [Theory]
    [MemberData(nameof(Loops))]
    public void An_interrupt_ends_it(string kind)
    {
        foreach (int threshold in (int[])[0, 1, 3])
        {
            using var machine = new M(threshold);
            Load(machine, kind, stack: M.StackTop);
            machine.Cpu.RflagsRegister |= 0x200;
            RunUntilSignalled(machine, () =>
            {
                machine.PendingVector = Vector;
                machine.Cpu.SignalInterrupt();
            });
            Assert.Equal(StopReason.Halted, machine.Reason);
            Assert.Equal(Vector, machine.Vector);
        }
    }

    [Theory]
    [InlineData("nop")]
    [InlineData("jmp")]
    [InlineData("ret")]
    [InlineData("cli")]
    [InlineData("add")]
    [InlineData("sti")]
    [InlineData("store")]
    [InlineData("out")]
    public void The_instruction_behind_STI_runs_before_an_interrupt_that_waits(string behind) => TranslationComparison.Run(
        m =>
        {
            // Five rounds, in the last of which an interrupt is pending when STI is met.
            ulong loop = M.Code + 0x100;
            void End(Assembler a)
            {
                a.inc(edx);
                a.cli();
                a.dec(ebp);
                var done = a.CreateLabel();
                a.jz(done);
                a.jmp(loop);
                a.Label(ref done);
                a.hlt();
            }

            m.Load(Far, End);
            m.Load(loop, a =>
            {
                a.xor(eax, eax);
                a.cmp(ebp, 1);
                a.sete(al);
                a.shl(eax, 6);
                a.@out(0x20, al);
                a.mov(rsp, M.StackTop);
                a.mov(r8, Far);
                a.push(r8);
                a.inc(ecx);
                a.sti();
                switch (behind)
                {
                    case "nop": a.nop(); break;
                    case "jmp": a.jmp(Far); break;
                    case "ret": a.ret(); break;
                    case "cli": a.cli(); break;
                    case "add": a.add(__qword_ptr[M.Data], 1); break;
                    case "sti": a.sti(); break;
                    case "store": a.mov(__byte_ptr[Far + 0x800], 1); break;
                    default: a.@out(0x21, al); break;
                }

                End(a);
            });
            m.Execute(a =>
            {
                a.mov(ebp, 5);
                a.jmp(loop);
            });
        },
        m =>
        {
            Assert.Equal(behind == "cli" ? -1 : Vector, m.Vector);
            Assert.Equal(behind == "cli" ? 5ul : 4ul, m.Register(2));
        });

    [Fact]
    public void STI_and_HLT_wake_up_with_the_interrupt_that_waits() => TranslationComparison.Run(
        m =>
        {
            m.PendingVector = Vector;
            m.Cpu.SignalInterrupt();
            m.Execute(a =>
            {
                a.inc(edx);
                a.sti();
            });
        },
        m =>
        {
            Assert.Equal(Vector, m.Vector);
            // Behind the HLT.
            Assert.Equal(M.Code + 4, m.Frame(0));
        });

    [Fact]
    public void An_interrupt_held_back_by_IF_comes_with_POPFQ_and_not_before() => TranslationComparison.Run(
        m => m.Execute(a =>
        {
            a.mov(al, Vector);
            a.mov(ecx, 100);
            a.@out(0x20, al);
            var again = a.CreateLabel();
            a.Label(ref again);
            a.inc(edx);
            a.cmp(ecx, 1);
            var not = a.CreateLabel();
            a.jne(not);
            a.push(0x202);
            a.popfq();
            a.inc(rbx);
            a.Label(ref not);
            a.dec(ecx);
            a.jnz(again);
        }),
        m =>
        {
            Assert.Equal(Vector, m.Vector);
            Assert.Equal(100ul, m.Register(2));
            Assert.Equal(0ul, m.Register(3));
        });

    [Theory]
    [InlineData("jump")]
    [InlineData("condition")]
    [InlineData("call")]
    [InlineData("fall through")]
    public void Code_that_only_runs_ahead_is_stopped_at_the_next_page(string kind)
    {
        const ulong Pages = 300, Device = M.Free + (0x1000 * Pages), First = M.Code;
        foreach (int threshold in (int[])[0, 1, 3])
        {
            using var machine = new M(threshold);
            for (ulong n = 0; n < Pages; n++)
            {
                // One page again and again, and behind the last one where it ends.
                machine.Map(M.Free + (0x1000 * n), n < Pages - 1 ? First : First + 0x1000, M.Present | M.Writable);
            }

            machine.Map(Device, M.MemoryBytes, M.Present | M.Writable);
            machine.Load(First + (kind == "fall through" ? 0xF00ul : 0), a =>
            {
                var on = a.CreateLabel();
                a.inc(edx);
                a.dec(ecx);
                a.jnz(on);
                a.mov(__dword_ptr[Device], eax);
                a.Label(ref on);
                ulong next = M.Free + 0x1000;
                switch (kind)
                {
                    case "jump": a.jmp(next); break;
                    case "condition": a.test(edx, edx); a.jnz(next); break;
                    case "call": a.call(next); break;
                    default:
                        // Up to the page's end. The next one begins with a jump to where this did.
                        for (int n = 0; n < 0xFF; n++)
                        {
                            a.nop();
                        }

                        break;
                }
            }, linear: M.Free + (kind == "fall through" ? 0xF00ul : 0));
            if (kind == "fall through")
            {
                machine.Load(First, a => a.jmp(M.Free + 0xF00), linear: M.Free);
            }

            machine.Load(First + 0x1000, a =>
            {
                var end = a.CreateLabel();
                a.mov(__dword_ptr[Device], eax);
                a.Label(ref end);
                a.jmp(end);
            });
            machine.DeviceWritten = machine.Cpu.RequestStop;
            for (int n = 0; n < 5; n++)
            {
                // All of it is known then.
                RunAhead(machine, Pages + 1);
                Assert.Equal(Pages - 1, machine.Register(2));
            }

            RunAhead(machine, 10);
            Assert.Equal(10ul, machine.Register(2));
        }
    }

    [Fact]
    public void LOOP_to_another_page_counts_once_when_its_target_is_not_known() => TranslationComparison.Run(
        m =>
        {
            m.Load(M.Code + 0xFE0, a =>
            {
                a.inc(edx);
                a.mov(cr3, rax);
                a.jmp(M.Code + 0x1000);
            });
            m.Load(M.Code + 0x1000, a =>
            {
                a.loop(M.Code + 0xFE0);
                a.hlt();
            });
            m.Cpu.SetGeneralRegister(0, M.Directory);
            m.Cpu.SetGeneralRegister(1, 100);
            m.Run(M.Code + 0x1000);
        },
        m =>
        {
            Assert.Equal(99ul, m.Register(2));
            Assert.Equal(0ul, m.Register(1));
        });

    private static void RunAhead(M machine, ulong countdown)
    {
        machine.Cpu.SetGeneralRegister(1, countdown);
        machine.Cpu.SetGeneralRegister(2, 0);
        machine.Cpu.SetGeneralRegister(4, M.StackTop);
        machine.Run(M.Free);
        Assert.Equal(StopReason.Requested, machine.Reason);
        Assert.Equal(-1, machine.Vector);
    }

    private static void Load(M m, string kind, ulong stack)
    {
        m.Cpu.SetGeneralRegister(4, stack);
        m.Map(M.Free, M.Data + 0x1000, M.Present | M.Writable | M.User);
        m.Load(M.Code, a =>
        {
            var again = a.CreateLabel();
            var other = a.CreateLabel();
            a.mov(rbx, Far);
            a.mov(__qword_ptr[M.Data], rbx);
            a.mov(rsi, rsp);
            a.Label(ref again);
            switch (kind)
            {
                case "self": a.jmp(again); break;
                case "jrcxz": a.xor(ecx, ecx); a.jrcxz(again); break;
                case "jecxz": a.mov(rcx, 1ul << 40); a.db(0x67, 0xE3, 0xFD); break;
                case "loop": a.mov(ecx, 5); a.Label(ref other); a.loop(other); a.jmp(again); break;
                case "loop self": a.loop(again); break;
                case "call": a.call(Far); a.jmp(again); break;
                case "indirect": a.jmp(rbx); break;
                case "indirect memory": a.jmp(__qword_ptr[M.Data]); break;
                case "pages" or "three pages": a.jmp(Far); break;
                case "ret": a.push(rbx); a.ret(); break;
                case "condition": a.inc(eax); a.test(eax, 1); a.jnz(again); a.jz(again); break;
                case "recursion": a.lea(rsp, __[rsi - 0x100]); a.and(rsp, -0x1000); a.add(rsp, 0x1000); a.call(again); break;
                case "straight":
                    for (int n = 0; n < 100; n++)
                    {
                        a.add(eax, n);
                    }

                    a.jmp(again);
                    break;
                case "interpreted": a.cpuid(); a.@out(0x21, al); a.jmp(again); break;
                case "string": a.mov(rdi, M.Data + 0x2000); a.mov(ecx, 100); a.rep.stosb(); a.jmp(again); break;
                case "sti": a.cli(); a.nop(); a.sti(); a.nop(); a.jmp(again); break;
                case "stac": a.stac(); a.inc(__dword_ptr[M.Free]); a.clac(); a.jmp(again); break;
                case "vector": a.paddd(xmm0, xmm1); a.movups(__xmmword_ptr[M.Data + 64], xmm0); a.jmp(again); break;
                case "fall through": a.jmp(M.Code + 0xFF0); break;
                case "store to code": a.inc(__byte_ptr[M.Code + 0x800]); a.jmp(again); break;
                default:
                    a.mov(rax, rsp);
                    a.push(M.KernelData);
                    a.push(rax);
                    a.pushfq();
                    a.push(M.KernelCode);
                    a.lea(rax, __[again]);
                    a.push(rax);
                    a.iretq();
                    break;
            }
        });
        if (kind == "stac")
        {
            m.Cpu.Cr4 |= 0x20_0000;
        }

        m.Load(M.Code + 0xFF0, a =>
        {
            for (int n = 0; n < 20; n++)
            {
                a.nop();
            }

            a.jmp(M.Code + 0xFF0);
        });
        m.Load(Far, a =>
        {
            switch (kind)
            {
                case "call": a.ret(); break;
                case "three pages": a.jmp(Far + 0x1000); break;
                case "pages": a.mov(rdx, M.Code + 0x1000); a.jmp(M.Code + 0x1000); break;
                case "ret": a.push(rbx); a.ret(); break;
                default: a.mov(__qword_ptr[M.Data], rbx); a.jmp(rbx); break;
            }
        });
        m.Load(Far + 0x1000, a => a.jmp(M.Code + 0x1000));
        m.Load(M.Code + 0x1000, a =>
        {
            a.inc(eax);
            a.nop(); a.nop(); a.nop(); a.nop(); a.nop(); a.nop(); a.nop(); a.nop(); a.nop(); a.nop(); a.nop(); a.nop();
            a.jmp(kind == "fall through" ? M.Code + 0xFF0 : Far);
        });
        m.Cpu.Rip = M.Code;
    }

    // The signal comes from another thread once the guest has run for a while.
    private static void RunUntilSignalled(M machine, Action signal)
    {
        ulong start = machine.Cpu.RetiredInstructions;
        var signaller = new Thread(() =>
        {
            // So that the loop is translated and linked, usually; whenever the signal comes the outcome is the same.
            Thread.Sleep(3);
            signal();
        });
        signaller.Start();
        machine.Run(machine.Cpu.Rip);
        signaller.Join();
        Assert.True(machine.Cpu.RetiredInstructions >= start);
    }
}
