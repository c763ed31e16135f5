using Hypervisor.Engine.Devices.Platform;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Guests.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Machines;

public class HostileGuestTests
{
    private const int Multiplier = 1664525, Increment = 1013904223;

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_storm_of_garbage_on_all_ports_leaves_the_machine_alive(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            var next = code.CreateLabel();
            var skip = code.CreateLabel();
            code.mov(esi, 12345);
            code.mov(ecx, 8000);
            code.Label(ref next);
            Advance(code);
            code.mov(edx, esi);
            code.shr(edx, 12);
            code.and(edx, 0xFFFF);
            // What ends or resets the machine is tested elsewhere.
            foreach (int port in new[] { 0x60, 0x90, 0xF0, 0x600, 0xCF0 })
            {
                code.mov(eax, edx);
                code.and(eax, 0xFFF0);
                code.cmp(eax, port);
                code.je(skip);
            }

            code.mov(eax, esi);
            code.@out(dx, al);
            code.@out(dx, ax);
            code.@out(dx, eax);
            code.@in(al, dx);
            code.@in(ax, dx);
            code.@in(eax, dx);
            code.Label(ref skip);
            code.dec(ecx);
            code.jne(next);
            code.Exit(1);
        }));
        Assert.Equal(1, guest.Run().ExitCode);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_storm_of_garbage_on_device_memory_leaves_the_machine_alive(BackendKind backend)
    {
        string disk = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(disk, new byte[1 << 20]);
            using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
            {
                var next = code.CreateLabel();
                code.mov(esi, 999);
                code.mov(ecx, 3000);
                code.Label(ref next);
                Advance(code);
                // In turn: configuration space of bus 0, the windows of device BARs, and anywhere between 3 and 4 GB.
                foreach (var (mask, start) in new (int, uint)[] { (0x0F_FFFC, 0xE000_0000), (0x0F_FFFC, 0xF000_0000), (0x3FFF_FFFC, 0xC000_0000) })
                {
                    code.mov(edi, esi);
                    code.ror(edi, 7);
                    code.and(edi, mask);
                    code.or(edi, unchecked((int)start));
                    code.mov(__dword_ptr[edi], esi);
                    code.mov(eax, __dword_ptr[edi]);
                    code.mov(__byte_ptr[edi + 1], 0x55);
                }

                code.dec(ecx);
                code.jne(next);
                code.Exit(2);
            }), configuration => configuration with { Disks = [new() { Path = disk }] });
            Assert.Equal(2, guest.Run().ExitCode);
        }
        finally
        {
            File.Delete(disk);
        }
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_storm_of_garbage_on_interrupt_controllers_by_two_processors_ends_in_the_guest_alone(BackendKind backend)
    {
        const int Trampoline = 0x5_0000;
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            const int CommandLow = unchecked((int)0xFEE0_0300), CommandHigh = unchecked((int)0xFEE0_0310);
            var next = code.CreateLabel();
            // The second processor writes to every port, in real mode: xor dx,dx; out dx,ax; in ax,dx; inc dx; jmp back.
            // Ports that end or reset the machine are among them, which is one of the ends that this test takes.
            byte[] trampoline = [0x31, 0xD2, 0xEF, 0xED, 0x42, 0xEB, 0xFB];
            for (int i = 0; i < trampoline.Length; i++)
            {
                code.mov(__byte_ptr[Trampoline + i], trampoline[i]);
            }

            code.mov(eax, CommandHigh);
            code.mov(__dword_ptr[eax], 1 << 24);
            code.mov(eax, CommandLow);
            code.mov(__dword_ptr[eax], 0x4500);
            code.mov(__dword_ptr[eax], 0x4600 | (Trampoline >> 12));
            code.mov(esi, 4711);
            code.mov(ecx, 4000);
            code.Label(ref next);
            Advance(code);
            foreach (var (mask, start) in new (int, uint)[] { (0x34, 0xFEC0_0000), (0xFF0, 0xFEE0_0000), (0xFFF, 0xFEE0_0000), (0xFFF, 0xFED0_0000) })
            {
                code.mov(edi, esi);
                code.ror(edi, 9);
                code.and(edi, mask);
                code.or(edi, unchecked((int)start));
                code.mov(__dword_ptr[edi], esi);
                code.mov(eax, __dword_ptr[edi]);
                code.mov(ax, __word_ptr[edi]);
            }

            code.dec(ecx);
            code.jne(next);
            code.Exit(6);
        }), configuration => configuration with
        {
            NumCpu = 2,
            AdvancedSettings = new Dictionary<string, string> { ["debugExit.port"] = "0xf4", ["tripleFault.action"] = "powerOff" },
        });
        guest.Start();
        if (!SpinWait.SpinUntil(() => guest.Machine.Stopped.IsCompleted, TimeSpan.FromSeconds(2)))
        {
            // A processor that was sent into a wait for start-up, or reset again and again, is as good an end.
            guest.Machine.PowerOff();
        }

        Assert.NotEqual(MachineStopReason.HostFailure, guest.WaitForEnd().Reason);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_defect_on_a_devices_thread_ends_the_machine_and_says_what_it_was(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code => code.Hang()));
        guest.Start();
        ((IMachineControl)guest.Machine).ReportFailure("disk 0", new InvalidOperationException("a defect"));
        var stop = guest.WaitForEnd();
        Assert.Equal((MachineStopReason.HostFailure, "The disk 0 failed: a defect (InvalidOperationException)"), (stop.Reason, stop.Message));
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_flood_on_the_serial_port_arrives_whole_and_blocks_nobody(BackendKind backend)
    {
        const int Bytes = 200_000;
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            code.mov(dx, GuestKernel.SerialPort);
            code.mov(esi, (int)GuestKernel.LoadAddress);
            code.mov(ecx, Bytes);
            code.cld();
            code.rep.outsb();
            code.Exit(3);
        }));
        Assert.Equal(3, guest.Run().ExitCode);
        Assert.Equal(Bytes, guest.Machine.Console.Position);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public async Task Input_reaches_the_guest_whole_and_in_order(BackendKind backend)
    {
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            var wait = code.CreateLabel();
            code.Print("ready\n");
            code.Label(ref wait);
            code.mov(dx, GuestKernel.SerialPort + 5);
            code.@in(al, dx);
            code.test(al, 1);
            code.je(wait);
            code.mov(dx, GuestKernel.SerialPort);
            code.@in(al, dx);
            code.@out(dx, al);
            code.cmp(al, (byte)'!');
            code.jne(wait);
            code.Exit(4);
        }));
        guest.Start();
        guest.WaitForText("ready\n");
        string text = string.Concat(Enumerable.Range(0, 2000).Select(i => $"{i} "));
        await guest.Machine.Console.SendAsync(System.Text.Encoding.ASCII.GetBytes(text + "!"));
        Assert.Equal(4, guest.WaitForEnd().ExitCode);
        Assert.Equal("ready\n" + text + "!", guest.Output);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_second_processor_starts_by_init_and_sipi_after_every_reset(BackendKind backend)
    {
        const int Mailbox = 0x20_0000, Counter = 0x20_0004, Trampoline = 0x5_0000;
        using var guest = new TestGuest(backend, GuestKernel.Assemble(code =>
        {
            const int CommandLow = unchecked((int)0xFEE0_0300), CommandHigh = unchecked((int)0xFEE0_0310);
            const int Init = 0x4500, StartUp = 0x4600 | (Trampoline >> 12);
            var wait = code.CreateLabel();
            var last = code.CreateLabel();
            code.mov(__dword_ptr[Mailbox], 0);
            // mov ax, 2000h; mov ds, ax would reach 20000h at most: the trampoline counts in its own segment instead.
            byte[] trampoline = [0x2E, 0xFE, 0x06, 0x20, 0x00, 0xF4, 0xEB, 0xFD]; // inc byte cs:[20h]; hlt; jmp $-1
            for (int i = 0; i < trampoline.Length; i++)
            {
                code.mov(__byte_ptr[Trampoline + i], trampoline[i]);
            }

            code.mov(__byte_ptr[Trampoline + 0x20], 0);
            code.mov(eax, CommandHigh);
            code.mov(__dword_ptr[eax], 1 << 24);
            code.mov(eax, CommandLow);
            code.mov(__dword_ptr[eax], Init);
            code.mov(__dword_ptr[eax], StartUp);
            code.Label(ref wait);
            code.pause();
            code.cmp(__byte_ptr[Trampoline + 0x20], 0);
            code.je(wait);
            code.Print("second ");
            code.inc(__dword_ptr[Counter]);
            code.cmp(__dword_ptr[Counter], 2);
            code.je(last);
            code.Out8(0xCF9, 6);
            code.Hang();
            code.Label(ref last);
            code.Exit(5);
        }), configuration => configuration with { NumCpu = 2 });
        Assert.Equal(5, guest.Run().ExitCode);
        Assert.Equal("second second ", guest.Output);
    }

    private static void Advance(Assembler code)
    {
        code.imul(esi, esi, Multiplier);
        code.add(esi, Increment);
    }
}
