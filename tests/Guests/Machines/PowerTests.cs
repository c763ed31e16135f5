using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Guests.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Machines;

public class PowerTests
{
    private const ushort PowerStatus = 0x600, PowerEnable = 0x602, PowerControl = 0x604;
    private const ushort SoftOff = 5 << 10 | 1 << 13, PowerButton = 1 << 8;
    private const uint Counter = 0x20_0000;

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_guest_prints_and_ends_with_its_exit_code(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            code.Print("hello\n");
            code.Exit(42);
        }));
        var stop = guest.Run();
        Assert.Equal(MachineStopReason.DebugExit, stop.Reason);
        Assert.Equal(42, stop.ExitCode);
        Assert.Equal("hello\n", guest.Output);
        Assert.Equal(backend, guest.Machine.Backend);
        Assert.True(guest.Machine.Console.IsCompleted);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void Entering_S5_powers_the_machine_off(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            code.Out16(PowerControl, SoftOff);
            code.Hang();
        }));
        Assert.Equal(MachineStopReason.GuestShutdown, guest.Run().Reason);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void The_power_button_is_seen_by_a_guest_that_polls(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            var wait = code.CreateLabel();
            code.Print("ready");
            code.Label(ref wait);
            code.mov(dx, PowerStatus);
            code.@in(ax, dx);
            code.test(ax, PowerButton);
            code.je(wait);
            code.Out16(PowerControl, SoftOff);
            code.Hang();
        }));
        guest.Start();
        guest.WaitForText("ready");
        guest.Machine.PressPowerButton();
        Assert.Equal(MachineStopReason.GuestShutdown, guest.WaitForEnd().Reason);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void The_power_button_interrupts_a_guest_that_sleeps(BackendKind backend)
    {
        const int Vector = 0x40;
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            var sleep = code.CreateLabel();
            InterruptSetup.Write(code, Vector, handler =>
            {
                handler.mov(dx, PowerStatus);
                handler.@in(ax, dx);
                handler.Out16(PowerStatus, PowerButton);
                handler.Out16(PowerControl, SoftOff);
                handler.Hang();
            });
            InterruptSetup.RouteIoApic(code, input: 9, Vector, levelTriggered: true);
            code.Out16(PowerEnable, PowerButton);
            code.Print("ready");
            code.sti();
            code.Label(ref sleep);
            code.hlt();
            code.jmp(sleep);
        }));
        guest.Start();
        guest.WaitForText("ready");
        guest.Machine.PressPowerButton();
        Assert.Equal(MachineStopReason.GuestShutdown, guest.WaitForEnd().Reason);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void Every_reset_line_boots_the_guest_again_and_keeps_its_memory(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            var second = code.CreateLabel();
            var third = code.CreateLabel();
            var fourth = code.CreateLabel();
            code.Print("boot ");
            code.inc(__dword_ptr[Counter]);
            code.cmp(__dword_ptr[Counter], 1);
            code.jne(second);
            code.Out8(0xCF9, 6);
            code.Hang();
            code.Label(ref second);
            code.cmp(__dword_ptr[Counter], 2);
            code.jne(third);
            code.Out8(0x64, 0xFE);
            code.Hang();
            code.Label(ref third);
            code.cmp(__dword_ptr[Counter], 3);
            code.jne(fourth);
            code.Out8(0x92, 3);
            code.Hang();
            code.Label(ref fourth);
            code.mov(eax, __dword_ptr[Counter]);
            code.ExitWithEax();
        }));
        Assert.Equal(4, guest.Run().ExitCode);
        Assert.Equal("boot boot boot boot ", guest.Output);
        Assert.Equal(3, guest.Events.Count(happened => happened.Message.Contains("reset by", StringComparison.Ordinal)));
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_reset_from_outside_boots_again(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            var second = code.CreateLabel();
            code.inc(__dword_ptr[Counter]);
            code.cmp(__dword_ptr[Counter], 2);
            code.je(second);
            code.Print("first");
            code.hlt();
            code.Hang();
            code.Label(ref second);
            code.Print("second");
            code.Exit(2);
        }));
        guest.Start();
        guest.WaitForText("first");
        guest.Machine.Reset();
        Assert.Equal(2, guest.WaitForEnd().ExitCode);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_triple_fault_resets_the_machine_and_a_loop_of_them_ends_it(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(TripleFault));
        var stop = guest.Run();
        Assert.Equal(MachineStopReason.GuestCrash, stop.Reason);
        Assert.Contains("triple fault", stop.Message, StringComparison.Ordinal);
        Assert.Equal("boot boot boot ", guest.Output);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_triple_fault_ends_a_machine_that_is_set_to(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(TripleFault), configuration => configuration with
        {
            AdvancedSettings = new Dictionary<string, string> { ["tripleFault.action"] = "powerOff" },
        });
        Assert.Equal(MachineStopReason.GuestCrash, guest.Run().Reason);
        Assert.Equal("boot ", guest.Output);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_jump_to_where_nothing_is_crashes_the_guest_alone(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            code.mov(eax, 0xD000_0000);
            code.jmp(eax);
        }), configuration => configuration with { AdvancedSettings = new Dictionary<string, string> { ["tripleFault.action"] = "powerOff" } });
        Assert.Equal(MachineStopReason.GuestCrash, guest.Run().Reason);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_busy_and_a_sleeping_guest_are_powered_off_at_once(BackendKind backend)
    {
        foreach (bool sleeps in new[] { false, true })
        {
            using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
            {
                code.Print("ready");
                if (sleeps)
                {
                    code.hlt();
                }

                code.Hang();
            }));
            guest.Start();
            guest.WaitForText("ready");
            guest.Machine.PowerOff();
            guest.Machine.PowerOff();
            Assert.Equal(MachineStopReason.PoweredOff, guest.WaitForEnd().Reason);
            guest.Machine.PressPowerButton();
            guest.Machine.Reset();
        }
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_machine_that_never_started_can_be_disposed(BackendKind backend)
    {
        var guest = new TestGuest(backend, GuestKernel.Assemble(code => code.Exit(0)));
        guest.Dispose();
        Assert.Equal(MachineStopReason.PoweredOff, guest.WaitForEnd().Reason);
    }

    private static void TripleFault(Assembler code)
    {
        code.Print("boot ");
        code.push(0);
        code.push(0);
        code.lidt(__[esp]);
        code.ud2();
        code.Hang();
    }
}
