using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Debug registers, single step and their order (Intel SDM vol. 3A, chapter 18).</summary>
public sealed class BreakpointTests : IDisposable
{
    private const ulong Handler = 0x15_0000, Log = 0x30_0000, Data = 0x31_0000;
    private const uint Trap = 0x100, Resume = 0x1_0000, Fixed = 0xFFFF_0FF0;

    private readonly ProtectedMachine _machine = new();

    public BreakpointTests()
    {
        // Logs EIP and DR6 from ESI on and sets RF, as a debugger does to go on.
        _machine.Load(Handler, 32, a =>
        {
            a.push(eax);
            a.mov(eax, __[esp + 4]);
            a.mov(__[esi], eax);
            a.mov(eax, dr6);
            a.mov(__[esi + 4], eax);
            a.mov(eax, __[esp + 12]);
            a.mov(__[esi + 8], eax);
            a.add(esi, 16);
            a.xor(eax, eax);
            a.mov(dr6, eax);
            a.or(__dword_ptr[esp + 12], (int)Resume);
            a.pop(eax);
            a.iretd();
        });
        _machine.Gate(1, ProtectedMachine.KernelCode, (uint)Handler, 0x8E);
    }

    [Fact]
    public void A_breakpoint_on_code_stops_before_the_instruction_and_lets_it_pass_with_RF()
    {
        var end = Run(
            a => a.mov(edx, (int)ProcessorFixture.CodeAddress + 0x40),
            0x1,
            a =>
            {
                a.nop();
                a.inc(ecx);
                a.nop();
            });
        Assert.Equal([((uint)ProcessorFixture.CodeAddress + 0x40, 1u)], end);
        Assert.Equal(1ul, _machine.Cpu.GetGeneralRegister(1));
        // RF is not set in the image of an instruction breakpoint.
        Assert.Equal(0u, _machine.Read32(Log + 8) & Resume);
    }

    [Fact]
    public void A_breakpoint_on_code_in_a_loop_stops_every_time()
    {
        var hits = Run(
            a => a.mov(edx, (int)ProcessorFixture.CodeAddress + 0x45),
            0x1,
            a =>
            {
                var top = a.CreateLabel();
                a.mov(ecx, 3);
                a.Label(ref top);
                a.inc(edi);
                a.dec(ecx);
                a.jne(top);
            });
        Assert.Equal(3, hits.Count);
        Assert.All(hits, hit => Assert.Equal(((uint)ProcessorFixture.CodeAddress + 0x45, 1u), hit));
        Assert.Equal(3ul, _machine.Cpu.GetGeneralRegister(7));
    }

    [Fact]
    public void A_watched_word_traps_after_the_store_and_not_for_loads_or_neighbours()
    {
        // Write, four bytes.
        var hits = Run(
            a => a.mov(edx, (int)Data),
            0xD_0001,
            a =>
            {
                a.mov(__byte_ptr[(uint)Data - 1], 1);
                a.mov(__byte_ptr[(uint)Data + 4], 1);
                a.mov(eax, __dword_ptr[(uint)Data]);
                a.mov(__byte_ptr[(uint)Data + 3], 1);
                a.inc(ebx);
            });
        var hit = Assert.Single(hits);
        Assert.Equal(1u, hit.Cause);
        Assert.Equal(0x0100_0000u, _machine.Read32(Data));
        Assert.Equal(1ul, _machine.Cpu.GetGeneralRegister(3));
        Assert.Equal((uint)ProcessorFixture.CodeAddress + 0x40 + 7 + 7 + 5 + 7, hit.Address);
    }

    [Fact]
    public void A_watched_byte_traps_for_loads_and_for_accesses_that_reach_over_it()
    {
        // Read or write, one byte, in the fourth register.
        var hits = Run(
            a => a.mov(edx, (int)Data + 5),
            0x3000_0080,
            a =>
            {
                a.mov(eax, __dword_ptr[(uint)Data + 4]);
                a.mov(ax, __word_ptr[(uint)Data + 6]);
                a.add(__dword_ptr[(uint)Data + 2], ecx);
            },
            register: 3);
        Assert.Equal([8u, 8u], hits.Select(hit => hit.Cause));
    }

    [Fact]
    public void Watched_memory_traps_within_a_repeated_store_where_it_is_hit()
    {
        var hits = Run(
            a => a.mov(edx, (int)Data + 64),
            0x1_0001,
            a =>
            {
                a.mov(edi, (int)Data);
                a.mov(ecx, 128);
                a.rep.stosb();
            });
        var hit = Assert.Single(hits);
        Assert.Equal((uint)ProcessorFixture.CodeAddress + 0x4A, hit.Address);
        Assert.Equal(Data + 128, _machine.Cpu.GetGeneralRegister(7));
    }

    [Fact]
    public void A_watched_port_traps_after_the_access()
    {
        _machine.Cpu.Cr4 |= 8;
        // I/O, two bytes.
        var hits = Run(
            a => a.mov(edx, 0x80),
            0x6_0001,
            a =>
            {
                a.@out(0x7F, al);
                a.@out(0x81, al);
                a.nop();
            });
        Assert.Equal([((uint)ProcessorFixture.CodeAddress + 0x44, 1u)], hits);
    }

    [Fact]
    public void Disarmed_breakpoints_do_nothing()
    {
        Assert.Empty(Run(a => a.mov(edx, (int)ProcessorFixture.CodeAddress + 0x40), 0x2, a => a.nop(), after: 0, register: 1));
    }

    [Fact]
    public void A_single_step_is_not_taken_between_a_load_of_SS_and_the_next_instruction()
    {
        var hits = Run(
            a => { },
            0,
            a =>
            {
                a.pushfd();
                a.or(__dword_ptr[esp], (int)Trap);
                a.popfd();
                a.mov(ss, ecx);
                a.mov(eax, 1);
                a.pushfd();
                a.and(__dword_ptr[esp], ~(int)Trap);
                a.popfd();
            },
            ecxValue: ProtectedMachine.KernelData);
        // PUSHFD and AND and POPFD after MOV EAX; MOV SS itself is skipped.
        Assert.Equal(4, hits.Count);
        Assert.All(hits, hit => Assert.Equal(0x4000u, hit.Cause));
        Assert.Equal((uint)ProcessorFixture.CodeAddress + 0x40 + 9 + 2 + 5, hits[0].Address);
    }

    [Fact]
    public void What_a_load_of_SS_hit_is_told_by_an_INT1_behind_it()
    {
        // Read or write, four bytes.
        var hits = Run(
            a => a.mov(edx, (int)Data),
            0xF_0001,
            a =>
            {
                a.mov(ss, __word_ptr[(int)Data]);
                a.db(0xF1);
                a.inc(ecx);
            },
            before: () => _machine.Write32(Data, ProtectedMachine.KernelData));
        Assert.Equal([((uint)ProcessorFixture.CodeAddress + 0x47, 1u)], hits);
        Assert.Equal(1ul, _machine.Cpu.GetGeneralRegister(1));
    }

    [Fact]
    public void An_exception_clears_the_breakpoints_that_it_was_not_raised_for()
    {
        var hits = Run(
            a =>
            {
                a.mov(edx, 0x4002);
                a.mov(dr6, edx);
                a.mov(edx, (int)ProcessorFixture.CodeAddress + 0x40);
            },
            0x1,
            a => a.nop());
        Assert.Equal([((uint)ProcessorFixture.CodeAddress + 0x40, 0x4001u)], hits);
    }

    [Fact]
    public void Single_steps_stop_after_each_repetition()
    {
        var hits = Run(
            a => { },
            0,
            a =>
            {
                a.mov(edi, (int)Data);
                a.pushfd();
                a.or(__dword_ptr[esp], (int)Trap);
                a.popfd();
                a.rep.stosb();
                a.pushfd();
                a.and(__dword_ptr[esp], ~(int)Trap);
                a.popfd();
            },
            ecxValue: 3);
        Assert.Equal(3 + 3, hits.Count);
    }

    [Fact]
    public void A_step_over_an_interrupt_instruction_does_not_stop_in_the_handler()
    {
        _machine.Load(0x15_1000, 32, a =>
        {
            a.inc(edi);
            a.iretd();
        });
        _machine.Gate(0x50, ProtectedMachine.KernelCode, 0x15_1000, 0x8E);
        var hits = Run(
            a => { },
            0,
            a =>
            {
                a.pushfd();
                a.or(__dword_ptr[esp], (int)Trap);
                a.popfd();
                a.@int(0x50);
                a.nop();
                a.pushfd();
                a.and(__dword_ptr[esp], ~(int)Trap);
                a.popfd();
            });
        Assert.Equal(1ul, _machine.Cpu.GetGeneralRegister(7));
        Assert.All(hits, hit => Assert.InRange(hit.Address, (uint)ProcessorFixture.CodeAddress, (uint)ProcessorFixture.CodeAddress + 0x100));
    }

    [Fact]
    public void General_detection_guards_the_registers_until_the_handler_runs()
    {
        var hits = Run(
            a => { },
            0x2000,
            a =>
            {
                a.mov(eax, dr0);
                a.nop();
            },
            after: -1);
        Assert.Equal([((uint)ProcessorFixture.CodeAddress + 0x40, 0x2000u)], hits);
    }

    [Fact]
    public void The_trap_bit_of_a_task_raises_debug_before_its_first_instruction()
    {
        const ushort task = 0x30;
        _machine.DescribeTask(task, 0x5800);
        _machine.Write16(0x5800 + 100, 1);
        _machine.Write32(0x5800 + 64, (uint)Log);
        _machine.Load(ProtectedMachine.Second, 32, a =>
        {
            a.mov(eax, 1);
            a.hlt();
        });
        _machine.Execute(a => a.db(0xEA, 0, 0, 0, 0, (byte)task, 0));
        Assert.Equal((uint)ProtectedMachine.Second, _machine.Read32(Log));
        Assert.Equal(0x8000u, _machine.Read32(Log + 4) & 0xE00F);
        Assert.Equal(1u, _machine.Eax);
    }

    [Fact]
    public void A_misaligned_access_of_user_code_is_checked_when_asked_for()
    {
        _machine.Cpu.Cr0 |= 0x4_0000;
        _machine.ExecuteUser(
            a =>
            {
                a.mov(eax, ProtectedMachine.UserData);
                a.mov(ds, eax);
                a.mov(eax, __[(uint)Data]);
                a.mov(__[(uint)Data + 2], ax);
                a.mov(__byte_ptr[(uint)Data + 1], 1);
                a.mov(eax, __[(uint)Data + 2]);
            },
            0x4_0002);
        Assert.Equal(17u, _machine.Vector);
        Assert.Equal(0u, _machine.Stacked(0));
        Assert.Equal((uint)ProtectedMachine.User + 7 + 5 + 6 + 7, _machine.Stacked(1));
    }

    [Fact]
    public void Misaligned_accesses_without_AC_or_of_the_kernel_are_not_checked()
    {
        _machine.Cpu.Cr0 |= 0x4_0000;
        _machine.ExecuteUser(a =>
        {
            a.mov(eax, ProtectedMachine.UserData);
            a.mov(ds, eax);
            a.mov(eax, __[(uint)Data + 1]);
            a.ud2();
        });
        Assert.Equal(6u, _machine.Vector);
    }

    public void Dispose() => _machine.Dispose();

    // Arms a register with what the code leaves in EDX, runs the code at 40h from the start, disarms, and tells where #DB was raised.
    private List<(uint Address, uint Cause)> Run(
        Action<Assembler> address, uint control, Action<Assembler> code, int register = 0, int after = 0, int ecxValue = 0, Action? before = null)
    {
        before?.Invoke();
        const ulong first = ProcessorFixture.CodeAddress;
        _machine.Load(first + 0x40, 32, a =>
        {
            code(a);
            if (after == 0)
            {
                a.xor(eax, eax);
                a.mov(dr7, eax);
            }

            a.hlt();
        });
        _machine.Execute(a =>
        {
            a.mov(esi, (int)Log);
            a.mov(ecx, ecxValue);
            a.xor(edx, edx);
            address(a);
            switch (register)
            {
                case 0: a.mov(dr0, edx); break;
                case 1: a.mov(dr1, edx); break;
                default: a.mov(dr3, edx); break;
            }

            a.mov(edx, control);
            a.mov(dr7, edx);
            a.jmp(first + 0x40);
        });
        var hits = new List<(uint, uint)>();
        for (ulong at = Log; at < _machine.Cpu.GetGeneralRegister(6); at += 16)
        {
            hits.Add((_machine.Read32(at), _machine.Read32(at + 4) & ~Fixed));
        }

        return hits;
    }
}
