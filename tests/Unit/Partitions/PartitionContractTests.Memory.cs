using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Support;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions;

public abstract partial class PartitionContractTests
{
    private const ulong ExtraAddress = 0x60_0000;

    [BackendFact]
    public void Writes_to_read_only_memory_go_to_the_bus_and_leave_it_as_it_was()
    {
        using var machine = CreateMachine();
        machine.Memory.AddBlock(ExtraAddress, 0x1000, writable: false);
        machine.Memory.Load(ExtraAddress, [0x78, 0x56, 0x34, 0x12]);
        machine.Map(ExtraAddress, MemoryAccess.Rom);
        machine.LoadLong(a =>
        {
            a.mov(rbx, ExtraAddress);
            a.mov(eax, 0xCAFE);
            a.mov(__dword_ptr[rbx], eax);
            a.mov(eax, __dword_ptr[rbx]);
            a.Report();
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal([0x1234_5678u], machine.Reports);
        Assert.Equal([(ExtraAddress, 4, 0xCAFEul)], machine.MmioWrites);
    }

    [BackendFact]
    public void Harvested_pages_are_those_the_guest_wrote_since_the_last_harvest()
    {
        using var machine = CreateMachine();
        machine.Memory.AddBlock(ExtraAddress, 100 * 0x1000);
        machine.Map(ExtraAddress);
        machine.Partition.SetDirtyTracking(ExtraAddress, true);
        ulong[] bitmap = new ulong[2];
        machine.OnReport = value => { };
        machine.LoadLong(a =>
        {
            a.mov(rbx, ExtraAddress);
            a.mov(__byte_ptr[rbx + 0x3000], 1);
            a.mov(eax, __dword_ptr[rbx + 0x5000]);
            a.mov(__dword_ptr[rbx + 0x7FFC], eax);
            a.mov(__byte_ptr[rbx + 99 * 0x1000], 1);
            a.Done();
        });
        machine.RunToEnd();
        machine.Partition.HarvestDirtyPages(ExtraAddress, bitmap);
        Assert.Equal([1ul << 3 | 1ul << 7, 1ul << (99 - 64)], bitmap);
        machine.Partition.HarvestDirtyPages(ExtraAddress, bitmap);
        Assert.Equal([0ul, 0ul], bitmap);

        machine.LoadLong(a =>
        {
            a.mov(rbx, ExtraAddress);
            a.mov(__byte_ptr[rbx + 0x3000], 2);
            a.Done();
        });
        machine.RunToEnd();
        machine.Partition.HarvestDirtyPages(ExtraAddress, bitmap);
        Assert.Equal([1ul << 3, 0ul], bitmap);
        machine.Partition.SetDirtyTracking(ExtraAddress, false);
    }

    [BackendFact]
    public void A_copy_made_of_harvested_pages_while_the_guest_runs_misses_no_store()
    {
        const int pages = 64, rounds = 200;
        const ushort pausePort = 0x510;
        using var machine = CreateMachine();
        using var paused = new SemaphoreSlim(0);
        using var resumed = new SemaphoreSlim(0);
        machine.Memory.AddBlock(ExtraAddress, pages * 0x1000);
        machine.Map(ExtraAddress);
        machine.Partition.SetDirtyTracking(ExtraAddress, true);
        int left = rounds;
        bool pauses = false;
        machine.OnReadPort = (_, _) =>
        {
            if (Volatile.Read(ref pauses))
            {
                paused.Release();
                resumed.Wait();
            }

            return (uint)Volatile.Read(ref left);
        };
        machine.LoadLong(a =>
        {
            // Stores to a few places of a page in the same block, of three pages at a time.
            var again = a.CreateLabel();
            var store = a.CreateLabel();
            a.mov(rbx, ExtraAddress);
            a.Label(ref again);
            a.mov(ecx, 3);
            a.Label(ref store);
            a.imul(esi, esi, 1664525);
            a.add(esi, 1013904223);
            a.mov(edi, esi);
            a.shr(edi, 26);
            a.shl(edi, 12);
            a.add(rdi, rbx);
            a.mov(__dword_ptr[rdi], esi);
            for (int n = 0; n < 8; n++)
            {
                a.imul(eax, esi, 77);
            }

            a.inc(__dword_ptr[rdi + 64]);
            a.mov(__dword_ptr[rdi + 128], eax);
            a.dec(ecx);
            a.jnz(store);
            a.mov(edx, pausePort);
            a.@in(eax, dx);
            a.test(eax, eax);
            a.jnz(again);
            a.Done();
        });
        ulong[] bitmap = new ulong[1];
        byte[] copy = new byte[pages * 0x1000], memory = new byte[copy.Length];
        void Harvest()
        {
            machine.Partition.HarvestDirtyPages(ExtraAddress, bitmap);
            for (int page = 0; page < pages; page++)
            {
                if ((bitmap[0] >> page & 1) != 0)
                {
                    machine.Memory.TryRead(ExtraAddress + ((ulong)page << 12), copy.AsSpan(page << 12, 0x1000));
                }
            }
        }

        var thread = new Thread(machine.RunToEnd);
        thread.Start();
        int missed = 0;
        for (; left > 0; Volatile.Write(ref left, left - 1))
        {
            Harvest();
            Volatile.Write(ref pauses, true);
            Harvest();
            paused.Wait();
            Harvest();
            machine.Memory.TryRead(ExtraAddress, memory);
            missed += copy.AsSpan().SequenceEqual(memory) ? 0 : 1;
            Volatile.Write(ref pauses, false);
            resumed.Release();
        }

        thread.Join();
        Assert.Equal(0, missed);
        machine.Partition.SetDirtyTracking(ExtraAddress, false);
    }

    [BackendFact]
    public void Unmapped_memory_is_gone_and_may_be_mapped_again()
    {
        using var machine = CreateMachine();
        machine.Memory.AddBlock(ExtraAddress, 0x1000);
        machine.Memory.TryWrite(ExtraAddress, 0xAAAA_5555u);
        machine.Map(ExtraAddress);
        void Read() => machine.LoadLong(a =>
        {
            a.mov(rbx, ExtraAddress);
            a.mov(eax, __dword_ptr[rbx]);
            a.Report();
            a.Done();
        });

        Read();
        machine.RunToEnd();
        machine.Partition.UnmapMemory(ExtraAddress);
        Read();
        machine.RunToEnd();
        machine.Map(ExtraAddress);
        Read();
        machine.RunToEnd();
        Assert.Equal([0xAAAA_5555u, uint.MaxValue, 0xAAAA_5555], machine.Reports);
    }

    [BackendFact]
    public void Memory_that_is_not_made_of_whole_pages_or_overlaps_is_refused()
    {
        using var machine = CreateMachine();
        var (_, host, _, _) = machine.Memory.Blocks.First();
        Assert.Throws<ArgumentException>(() => machine.Partition.MapMemory(0x1000_0100, host, 0x1000, MemoryAccess.All));
        Assert.Throws<ArgumentException>(() => machine.Partition.MapMemory(0x1000_0000, host, 0x1800, MemoryAccess.All));
        Assert.Throws<ArgumentException>(() => machine.Partition.MapMemory(0x1000_0000, host, 0, MemoryAccess.All));
        Assert.Throws<ArgumentException>(() => machine.Partition.MapMemory(TestMachine.MemoryBytes - 0x1000, host, 0x2000, MemoryAccess.All));
        Assert.Throws<ArgumentException>(() => machine.Partition.UnmapMemory(0x1000_0000));
    }

    [BackendFact]
    public void Code_that_the_guest_changes_runs_as_changed()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a =>
        {
            // mov eax, imm32 at the data address; the immediate is rewritten each round, then called.
            a.mov(rsi, TestMachine.DataAddress);
            a.mov(__byte_ptr[rsi], 0xB8);
            a.mov(__byte_ptr[rsi + 5], 0xC3);
            a.mov(ecx, 1);
            var loop = a.CreateLabel();
            a.Label(ref loop);
            a.mov(__dword_ptr[rsi + 1], ecx);
            a.call(rsi);
            a.Report();
            a.inc(ecx);
            a.cmp(ecx, 20);
            a.jne(loop);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal(Enumerable.Range(1, 19).Select(i => (uint)i), machine.Reports);
    }

    [BackendFact]
    public void Code_that_the_host_changes_runs_as_changed()
    {
        using var machine = CreateMachine();
        machine.Memory.Load(TestMachine.DataAddress, [0xB8, 1, 0, 0, 0, 0xC3]);
        machine.OnReport = value => machine.Memory.TryWrite(TestMachine.DataAddress + 1, value + 1);
        machine.LoadLong(a =>
        {
            a.mov(rsi, TestMachine.DataAddress);
            a.mov(ecx, 20);
            var loop = a.CreateLabel();
            a.Label(ref loop);
            a.call(rsi);
            a.Report();
            a.dec(ecx);
            a.jne(loop);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal(Enumerable.Range(1, 20).Select(i => (uint)i), machine.Reports);
    }
}
