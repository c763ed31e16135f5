using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>What must be enabled for AVX and for BMI, in which modes they are there, and the registers that enable them.</summary>
public sealed class VectorEnvironmentTests
{
    private const ulong Osfxsr = 0x600, Osxsave = 0x4_0000, Emulation = 4, TaskSwitched = 8, AllState = 7;
    private const uint None = 0xFF, InvalidOpcode = 6, DeviceNotAvailable = 7, GeneralProtection = 13;

    public static TheoryData<string, ulong, ulong, ulong, uint, uint> Environments { get; } = new()
    {
        { "all is enabled", 0, Osfxsr | Osxsave, AllState, None, None },
        { "CR4.OSXSAVE is clear", 0, Osfxsr, AllState, InvalidOpcode, None },
        { "XCR0 lacks AVX", 0, Osfxsr | Osxsave, 3, InvalidOpcode, None },
        { "XCR0 has x87 alone", 0, Osfxsr | Osxsave, 1, InvalidOpcode, None },
        { "CR0.TS is set", TaskSwitched, Osfxsr | Osxsave, AllState, DeviceNotAvailable, None },
        { "CR0.TS is set and XCR0 lacks AVX", TaskSwitched, Osfxsr | Osxsave, 3, InvalidOpcode, None },
        { "CR0.EM is set", Emulation, Osfxsr | Osxsave, AllState, None, None },
        { "CR4.OSFXSR is clear", 0, Osxsave, AllState, None, None },
    };

    [Theory]
    [MemberData(nameof(Environments))]
    public void Avx_needs_its_state_enabled_and_bmi_needs_nothing(string when, ulong cr0, ulong cr4, ulong xcr0, uint avx, uint bmi)
    {
        Assert.True(RunIn(cr0, cr4, xcr0, a => a.vaddps(ymm0, ymm1, ymm2)) == avx, $"AVX when {when}");
        Assert.True(RunIn(cr0, cr4, xcr0, a => a.vfmadd231sd(xmm0, xmm1, xmm2)) == avx, $"FMA when {when}");
        Assert.True(RunIn(cr0, cr4, xcr0, a => a.vzeroupper()) == avx, $"VZEROUPPER when {when}");
        Assert.True(RunIn(cr0, cr4, xcr0, a => a.andn(eax, ecx, edx)) == bmi, $"BMI1 when {when}");
        Assert.True(RunIn(cr0, cr4, xcr0, a => a.pdep(eax, ecx, edx)) == bmi, $"BMI2 when {when}");
    }

    [Theory]
    [InlineData("LOCK", new byte[] { 0xF0 })]
    [InlineData("66", new byte[] { 0x66 })]
    [InlineData("F2", new byte[] { 0xF2 })]
    [InlineData("F3", new byte[] { 0xF3 })]
    public void No_simd_prefix_may_stand_before_vex(string name, byte[] prefix)
    {
        Assert.True(RunIn(0, Osfxsr | Osxsave, AllState, a => a.db([.. prefix, 0xC5, 0xF4, 0x58, 0xC2])) == InvalidOpcode, name);
        Assert.True(RunIn(0, Osfxsr | Osxsave, AllState, a => a.db([.. prefix, 0xC4, 0xE2, 0x70, 0xF2, 0xC2])) == InvalidOpcode, name);
    }

    [Theory]
    [InlineData("VADDPS", new byte[] { 0xC5, 0xF4, 0x58, 0xC2 }, true)]
    [InlineData("ANDN", new byte[] { 0xC4, 0xE2, 0x70, 0xF2, 0xC2 }, true)]
    [InlineData("LDS", new byte[] { 0xC5, 0x16, 0x00, 0x20 }, false)]
    [InlineData("LES", new byte[] { 0xC4, 0x16, 0x00, 0x20 }, false)]
    public void Real_mode_has_no_vex(string name, byte[] code, bool undefined)
    {
        using var fixture = new ProcessorFixture(16);
        fixture.Cpu.Cr4 = Osfxsr | Osxsave;
        fixture.Cpu.SetGeneralRegister(3, None);

        // The vector of #UD.
        fixture.Write(0x18, 0x3000);
        fixture.Load(0x3000, a =>
        {
            a.mov(bx, (ushort)InvalidOpcode);
            a.hlt();
        });
        fixture.Execute(a => a.db(code));
        Assert.True((uint)fixture.Cpu.GetGeneralRegister(3) == (undefined ? InvalidOpcode : None), name);
    }

    [Theory]
    [InlineData(0, 1u, None)]
    [InlineData(0, 3u, None)]
    [InlineData(0, 7u, None)]
    [InlineData(0, 5u, GeneralProtection)]
    [InlineData(0, 6u, GeneralProtection)]
    [InlineData(0, 0u, GeneralProtection)]
    [InlineData(0, 0xFu, GeneralProtection)]
    [InlineData(2, 3u, None)]
    [InlineData(2, 7u, GeneralProtection)]
    public void Xsetbv_takes_what_cpuid_shows_and_no_avx_without_sse(int level, uint value, uint vector)
    {
        using var machine = new ProtectedMachine(level);
        machine.Cpu.Cr4 = Osfxsr | Osxsave;
        machine.Cpu.SetGeneralRegister(3, None);
        machine.Execute(a =>
        {
            a.xor(ecx, ecx);
            a.xor(edx, edx);
            a.mov(eax, value);
            a.xsetbv();
            a.xor(eax, eax);
            a.xgetbv();
        });
        Assert.Equal(vector, machine.Vector);
        if (vector == None)
        {
            Assert.Equal(value, machine.Eax);
        }
    }

    [Fact]
    public void Xgetbv_of_1_leaves_out_what_is_in_its_initial_state()
    {
        using var machine = Machine(0, Osfxsr | Osxsave, AllState);
        machine.Execute(a =>
        {
            a.fninit();
            a.vzeroall();
            a.vpcmpeqd(xmm3, xmm3, xmm3);
            a.mov(ecx, 1);
            a.xgetbv();
            a.mov(edi, eax);
            a.vpcmpeqd(ymm3, ymm3, ymm3);
            a.xgetbv();
        });
        Assert.Equal(2u, (uint)machine.Cpu.GetGeneralRegister(7) & 6);
        Assert.Equal(6u, machine.Eax & 6);
    }

    [Fact]
    public unsafe void Outside_64_bit_mode_vzeroall_clears_eight_registers()
    {
        using var machine = Machine(0, Osfxsr | Osxsave, AllState);
        new Span<byte>(&machine.Cpu.State->Vectors, 512).Fill(0xA5);
        machine.Execute(a => a.vzeroall());
        var bytes = new Span<byte>(&machine.Cpu.State->Vectors, 512);
        Assert.False(bytes[..256].ContainsAnyExcept((byte)0));
        Assert.False(bytes[256..].ContainsAnyExcept((byte)0xA5));
    }

    [Fact]
    public unsafe void Xsaves_and_xrstors_bring_avx_state_back_and_take_the_compacted_format_alone()
    {
        using var machine = Machine(0, Osfxsr | Osxsave, AllState);
        ulong at = ProcessorFixture.DataAddress;
        machine.Execute(a =>
        {
            a.mov(ecx, 0x1234_5678);
            a.vmovd(xmm2, ecx);
            a.vpbroadcastd(ymm2, xmm2);
            a.mov(eax, 7);
            a.xor(edx, edx);
            a.xsaves(__[(uint)at]);
            a.vzeroall();
            a.xrstors(__[(uint)at]);
        });
        Assert.Equal(None, machine.Vector);
        Assert.Equal(0x8000_0000_0000_0007, machine.Fixture.Read(at + 520));
        Assert.False(new Span<uint>((byte*)&machine.Cpu.State->Vectors + 64, 8).ContainsAnyExcept(0x1234_5678u));

        using var standard = Machine(0, Osfxsr | Osxsave, AllState);
        standard.Execute(a =>
        {
            a.mov(eax, 7);
            a.xor(edx, edx);
            a.xsave(__[(uint)at]);
            a.xrstors(__[(uint)at]);
        });
        Assert.Equal(GeneralProtection, standard.Vector);
    }

    [Fact]
    public void Xsaves_is_the_kernels()
    {
        using var machine = Machine(0, Osfxsr | Osxsave, AllState);
        machine.ExecuteUser(a =>
        {
            a.mov(eax, 7);
            a.xor(edx, edx);
            a.xsaves(__[(uint)ProcessorFixture.DataAddress]);
        });
        Assert.Equal(GeneralProtection, machine.Vector);
    }

    private static uint RunIn(ulong cr0, ulong cr4, ulong xcr0, Action<Assembler> code)
    {
        using var machine = Machine(cr0, cr4, xcr0);
        machine.Execute(code);
        return machine.Vector;
    }

    private static unsafe ProtectedMachine Machine(ulong cr0, ulong cr4, ulong xcr0)
    {
        var machine = new ProtectedMachine();
        machine.Cpu.Cr0 |= cr0;
        machine.Cpu.Cr4 = cr4;
        machine.Cpu.State->Xcr0 = xcr0;
        machine.Cpu.SetGeneralRegister(3, None);
        return machine;
    }
}
