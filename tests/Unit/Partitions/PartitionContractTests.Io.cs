using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Support;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions;

/// <summary>
/// What every backend's partitions do alike. A subclass names its factory; the guests are assembled here.
/// </summary>
public abstract partial class PartitionContractTests(IPartitionFactory factory)
{
    private TestMachine CreateMachine(int processors = 1, string? model = null, int coresPerSocket = 1) =>
        new(factory, processors, model, coresPerSocket);

    [BackendFact]
    public void Port_writes_of_all_sizes_reach_the_bus_in_real_mode()
    {
        using var machine = CreateMachine();
        machine.LoadReal(a =>
        {
            a.mov(eax, 0x8765_4321);
            a.mov(dx, 0x1234);
            a.@out(dx, al);
            a.@out(dx, ax);
            a.@out(dx, eax);
            a.@out(0xE9, al);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal([(0x1234, 1, 0x21u), (0x1234, 2, 0x4321u), (0x1234, 4, 0x8765_4321u), (0xE9, 1, 0x21u)], machine.PortWrites);
    }

    [BackendFact]
    public void Port_writes_of_all_sizes_reach_the_bus_in_protected_mode()
    {
        using var machine = CreateMachine();
        machine.LoadProtected(a =>
        {
            a.mov(eax, 0x8765_4321);
            a.mov(edx, 0xFFFF_1234);
            a.@out(dx, al);
            a.@out(dx, ax);
            a.@out(dx, eax);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal([(0x1234, 1, 0x21u), (0x1234, 2, 0x4321u), (0x1234, 4, 0x8765_4321u)], machine.PortWrites);
    }

    [BackendFact]
    public void Port_reads_replace_only_the_register_part_of_their_size()
    {
        using var machine = CreateMachine();
        machine.OnReadPort = (port, size) => port == 0x77 ? size switch { 1 => 0xA1u, 2 => 0xB2B1, _ => 0xC4C3_C2C1 } : 0;
        machine.LoadLong(a =>
        {
            foreach (int size in (int[])[1, 2, 4])
            {
                a.mov(rax, 0x1111_2222_3333_4444);
                a.mov(edx, 0x77);
                switch (size)
                {
                    case 1:
                        a.@in(al, dx);
                        break;
                    case 2:
                        a.@in(ax, dx);
                        break;
                    default:
                        a.@in(eax, dx);
                        break;
                }

                a.Report();
                a.shr(rax, 32);
                a.Report();
            }

            a.Done();
        });
        machine.RunToEnd();

        // A 32-bit result clears the upper half (Intel SDM vol. 1, 3.4.1.1).
        Assert.Equal([0x3333_44A1u, 0x1111_2222, 0x3333_B2B1, 0x1111_2222, 0xC4C3_C2C1, 0], machine.Reports);
    }

    [BackendFact]
    public void A_repeated_string_write_sends_every_element()
    {
        using var machine = CreateMachine();
        byte[] data = [.. Enumerable.Range(0, 6000).Select(i => (byte)(i * 7))];
        machine.Memory.Load(TestMachine.DataAddress, data);
        machine.LoadLong(a =>
        {
            a.cld();
            a.mov(rsi, TestMachine.DataAddress);
            a.mov(ecx, data.Length);
            a.mov(edx, 0x66);
            a.rep.outsb();
            a.mov(eax, esi);
            a.Report();
            a.mov(rsi, TestMachine.DataAddress);
            a.mov(ecx, 3);
            a.mov(edx, 0x67);
            a.rep.outsw();
            a.mov(eax, ecx);
            a.Report();
            a.std();
            a.mov(rsi, TestMachine.DataAddress + 8);
            a.mov(ecx, 2);
            a.mov(edx, 0x68);
            a.rep.outsd();
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal(data, machine.PortWrites.Where(w => w.Port == 0x66).Select(w => (byte)w.Value));
        Assert.Equal([0x0700u, 0x150E, 0x231C], machine.PortWrites.Where(w => w.Port == 0x67).Select(w => w.Value));
        Assert.Equal([BitConverter.ToUInt32(data, 8), BitConverter.ToUInt32(data, 4)], machine.PortWrites.Where(w => w.Port == 0x68).Select(w => w.Value));
        Assert.Equal([(uint)TestMachine.DataAddress + 6000, 0], machine.Reports);
    }

    [BackendFact]
    public void A_repeated_string_read_stores_every_element()
    {
        using var machine = CreateMachine();
        uint next = 0;
        machine.OnReadPort = (_, _) => next++ * 0x0101;
        machine.LoadLong(a =>
        {
            a.cld();
            a.mov(rdi, TestMachine.DataAddress + 4000);
            a.mov(ecx, 300);
            a.mov(edx, 0x66);
            a.rep.insw();
            a.mov(eax, edi);
            a.Report();
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal([(uint)TestMachine.DataAddress + 4600], machine.Reports);
        byte[] stored = new byte[600];
        machine.Memory.TryRead(TestMachine.DataAddress + 4000, stored);
        for (int i = 0; i < 300; i++)
        {
            Assert.Equal((ushort)(i * 0x0101), BitConverter.ToUInt16(stored, i * 2));
        }
    }

    [BackendFact]
    public void Stores_outside_memory_reach_the_bus_in_all_sizes()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a =>
        {
            a.mov(rax, 0x8877_6655_4433_2211);
            a.mov(rbx, TestMachine.MmioAddress);
            a.mov(__byte_ptr[rbx], al);
            a.mov(__word_ptr[rbx + 2], ax);
            a.mov(__dword_ptr[rbx + 4], eax);
            a.mov(__qword_ptr[rbx + 8], rax);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal(
            [
                (TestMachine.MmioAddress, 1, 0x11ul), (TestMachine.MmioAddress + 2, 2, 0x2211ul),
                (TestMachine.MmioAddress + 4, 4, 0x4433_2211ul), (TestMachine.MmioAddress + 8, 8, 0x8877_6655_4433_2211ul),
            ],
            machine.MmioWrites);
    }

    [BackendFact]
    public void Loads_outside_memory_come_from_the_bus_in_all_sizes()
    {
        using var machine = CreateMachine();
        machine.OnReadMmio = (address, size) => 0x8877_6655_4433_2211 ^ (address & 0xFF);
        machine.LoadLong(a =>
        {
            a.mov(rbx, TestMachine.MmioAddress);
            a.movzx(eax, __byte_ptr[rbx + 1]);
            a.Report();
            a.movsx(eax, __word_ptr[rbx + 2]);
            a.Report();
            a.mov(eax, __dword_ptr[rbx + 4]);
            a.Report();
            a.mov(rax, __qword_ptr[rbx + 8]);
            a.Report();
            a.shr(rax, 32);
            a.Report();
            a.mov(eax, 1);
            a.add(eax, __dword_ptr[rbx + 16]);
            a.Report();
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal([0x10u, 0x2213, 0x4433_2215, 0x4433_2219, 0x8877_6655, 0x4433_2202], machine.Reports);
    }

    [BackendFact]
    public void Memory_that_nothing_answers_reads_as_all_ones()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a =>
        {
            a.mov(rbx, TestMachine.MmioAddress);
            a.mov(eax, __dword_ptr[rbx]);
            a.Report();
            a.mov(edx, 0x9999);
            a.xor(eax, eax);
            a.@in(al, dx);
            a.Report();
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal([uint.MaxValue, 0xFF], machine.Reports);
    }

    [BackendFact]
    public void Exits_allocate_nothing()
    {
        using var machine = CreateMachine();
        const int Passes = 10;
        long last = 0, least = long.MaxValue;
        machine.OnReadPort = (_, _) => 1;
        machine.OnReadMmio = (_, _) => 1;
        machine.OnReport = _ =>
        {
            // The runtime allocates now and then for its own purposes: what exits need is in every pass.
            long now = GC.GetAllocatedBytesForCurrentThread();
            least = last == 0 ? least : Math.Min(least, now - last);
            last = now;
        };
        machine.Reports.Capacity = 2 * Passes;
        machine.LoadLong(a =>
        {
            a.mov(edi, Passes);
            var pass = a.CreateLabel();
            a.Label(ref pass);
            a.Report(1);
            a.mov(ecx, 200);
            a.mov(rbx, TestMachine.MmioAddress);
            a.mov(edx, 0x66);
            var loop = a.CreateLabel();
            a.Label(ref loop);
            a.@in(al, dx);
            a.mov(esi, __dword_ptr[rbx]);
            a.dec(ecx);
            a.jne(loop);
            a.dec(edi);
            a.jne(pass);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal(0, least);
    }
}
