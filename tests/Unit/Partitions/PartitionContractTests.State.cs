using System.Runtime.InteropServices;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Support;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions;

public abstract partial class PartitionContractTests
{
    [BackendFact]
    public void General_registers_come_back_as_they_were_set()
    {
        using var machine = CreateMachine();
        var values = new GeneralRegisters();
        var words = MemoryMarshal.Cast<GeneralRegisters, ulong>(MemoryMarshal.CreateSpan(ref values, 1));
        for (int i = 0; i < words.Length; i++)
        {
            words[i] = 0x0101_0101_0101_0101ul * (ulong)(i + 1);
        }

        values.Rip = 0x1234;
        values.Rflags = 0x46;
        machine.Processor.SetGeneralRegisters(values);
        Assert.Equal(values, machine.Processor.GetGeneralRegisters());
    }

    [BackendFact]
    public void System_registers_come_back_as_they_were_set()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a => a.hlt());
        var values = machine.Processor.GetSystemRegisters();
        values.Fs.Base = 0x1234_5678_9ABC;
        values.Gs.Base = 0xFFFF_8000_1234_5000;
        values.Ldt = new SegmentRegister { Selector = 0x28, Base = 0x5000, Limit = 0x1F, Attributes = 0x82 };
        values.Tr = new SegmentRegister { Selector = 0x30, Base = 0x6000, Limit = 0x67, Attributes = 0x8B };
        values.Idt = new DescriptorTableRegister { Base = 0xFFFF_8000_0000_1000, Limit = 0x7FF };
        values.Cr2 = 0xDEAD_0000;
        values.Cr8 = 5;
        machine.Processor.SetSystemRegisters(values);
        Assert.Equal(values, machine.Processor.GetSystemRegisters());
    }

    [BackendFact]
    public void Model_specific_registers_come_back_as_they_were_set_and_unknown_ones_are_refused()
    {
        using var machine = CreateMachine();
        foreach (var (index, value) in new (uint, ulong)[]
        {
            (0xC000_0081, 0x0023_0010_0000_0000), (0xC000_0082, 0xFFFF_8000_0000_2000), (0xC000_0084, 0x4_7700),
            (0xC000_0102, 0xFFFF_8000_0000_3000), (0x174, 0x10), (0x175, 0x7000), (0x176, 0xFFFF_8000_0000_4000),
            (0x277, 0x0007_0406_0007_0406),
        })
        {
            Assert.True(machine.Processor.TrySetMsr(index, value), $"{index:x}h");
            Assert.True(machine.Processor.TryGetMsr(index, out ulong back), $"{index:x}h");
            Assert.Equal(value, back);
        }

        Assert.False(machine.Processor.TryGetMsr(0x1234_5678, out _));
        Assert.False(machine.Processor.TrySetMsr(0x1234_5678, 1));
    }

    [BackendFact]
    public void Extended_state_comes_back_as_it_was_set()
    {
        using var machine = CreateMachine();
        byte[] image = new byte[8192];
        int length = machine.Processor.GetExtendedState(image);
        Assert.InRange(length, 576, image.Length);

        // XMM3 stands at offset 160 + 3 * 16 (Intel SDM vol. 1, table 10-2); the header's bit 1 says that SSE state is present.
        for (int i = 0; i < 16; i++)
        {
            image[160 + 48 + i] = (byte)(0xA0 + i);
        }

        // MXCSR's default, with its own mask.
        MemoryMarshal.Write(image.AsSpan(24), 0x1F80u);
        image[512] |= 2;
        machine.Processor.SetExtendedState(image.AsSpan(0, length));
        byte[] back = new byte[8192];
        Assert.Equal(length, machine.Processor.GetExtendedState(back));
        Assert.Equal(image.AsSpan(160 + 48, 16).ToArray(), back.AsSpan(160 + 48, 16).ToArray());
        Assert.NotEqual(0, back[512] & 2);
        Assert.Throws<ArgumentException>(() => machine.Processor.GetExtendedState(new byte[100]));
        Assert.Throws<ArgumentException>(() => machine.Processor.SetExtendedState(new byte[100]));
    }

    [BackendFact]
    public void The_guests_registers_are_seen_from_outside()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a =>
        {
            a.mov(r9, 0x1122_3344_5566_7788);
            a.stc();
            a.Done();
        });
        machine.RunToEnd();
        var registers = machine.Processor.GetGeneralRegisters();
        Assert.Equal(0x1122_3344_5566_7788ul, registers.R9);
        Assert.Equal(1ul, registers.Rflags & 1);
    }

    [BackendFact]
    public void The_time_stamp_counter_never_runs_backwards()
    {
        using var machine = CreateMachine();
        machine.LoadLong(a =>
        {
            a.xor(ebx, ebx);
            a.mov(esi, 2000);
            var loop = a.CreateLabel();
            var backwards = a.CreateLabel();
            a.Label(ref loop);
            a.rdtsc();
            a.shl(rdx, 32);
            a.or(rax, rdx);
            a.cmp(rax, rbx);
            a.jb(backwards);
            a.mov(rbx, rax);
            a.dec(esi);
            a.jne(loop);
            a.Report(1);
            a.Done();
            a.Label(ref backwards);
            a.Report(2);
            a.Done();
        });
        machine.RunToEnd();
        Assert.Equal([1u], machine.Reports);
    }

    [BackendFact]
    public void Cpuid_describes_a_virtual_processor_of_64_bits()
    {
        using var machine = CreateMachine(processors: 4, coresPerSocket: 4);
        var leaf1 = ReadCpuid(machine, 1);
        Assert.NotEqual(0u, leaf1.Ecx & 1u << 31);
        Assert.Equal(0u, leaf1.Ecx & 1u << 5);
        Assert.Equal(0u, leaf1.Ebx >> 24);
        Assert.Equal(4u, (leaf1.Ebx >> 16) & 0xFF);

        // FPU, TSC, MSR, PAE, APIC, CMOV, FXSR, SSE, SSE2.
        const uint baseline = 1u << 0 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 9 | 1u << 15 | 1u << 24 | 1u << 25 | 1u << 26;
        Assert.Equal(baseline, leaf1.Edx & baseline);

        // SYSCALL, NX, long mode.
        const uint longMode = 1u << 11 | 1u << 20 | 1u << 29;
        Assert.Equal(longMode, ReadCpuid(machine, 0x8000_0001).Edx & longMode);
        if (ReadCpuid(machine, 0).Eax >= 0xB)
        {
            Assert.Equal((0u, 1u), (ReadCpuid(machine, 0xB).Eax, ReadCpuid(machine, 0xB).Ebx & 0xFFFF));
            Assert.Equal((2u, 4u), (ReadCpuid(machine, 0xB, 1).Eax, ReadCpuid(machine, 0xB, 1).Ebx & 0xFFFF));
        }
    }

    /// <summary>The guest's CPUID instruction shows what the backend set.</summary>
    protected virtual bool HonoursProcessorModel => true;

    /// <summary>The backend looks for interrupts between any two instructions, as the architecture has it.</summary>
    protected virtual bool TakesInterruptsBetweenInstructions => true;

    [BackendFact]
    public void A_processor_model_hides_what_lies_above_it()
    {
        using var machine = CreateMachine(model: "x86-64-v1");
        var leaf1 = ReadCpuid(machine, 1);

        // SSE3, SSSE3, SSE4.1, SSE4.2, POPCNT, AVX.
        if (HonoursProcessorModel)
        {
            Assert.Equal(0u, leaf1.Ecx & (1u << 0 | 1u << 9 | 1u << 19 | 1u << 20 | 1u << 23 | 1u << 28));
        }

        Assert.NotEqual(0u, leaf1.Edx & 1u << 26);
        Assert.Throws<PartitionException>(() => CreateMachine(model: "pentium"));
    }

    private static (uint Eax, uint Ebx, uint Ecx, uint Edx) ReadCpuid(TestMachine machine, uint leaf, uint subleaf = 0)
    {
        machine.Reports.Clear();
        machine.LoadLong(a =>
        {
            a.mov(eax, leaf);
            a.mov(ecx, subleaf);
            a.cpuid();
            a.mov(esi, edx);
            a.Report();
            a.mov(eax, ebx);
            a.Report();
            a.mov(eax, ecx);
            a.Report();
            a.mov(eax, esi);
            a.Report();
            a.Done();
        });
        machine.RunToEnd();
        return (machine.Reports[0], machine.Reports[1], machine.Reports[2], machine.Reports[3]);
    }
}
