using Hypervisor.Engine.Processor;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>UMIP, SMEP, SMAP and FSGSBASE where they are easily got wrong (Intel SDM vol. 3A, 4.6 and vol. 2).</summary>
public sealed class ProtectionTests : IDisposable
{
    private const ulong Gdt = 0x6000, Idt = 0x7000, TaskState = 0x7800, User = 0x13_0000, Handlers = 0x12_0000, Directory = 0xA000;
    private const ulong Umip = 0x800, Fsgsbase = 0x1_0000, Smep = 0x10_0000, Smap = 0x20_0000;

    private readonly ProcessorFixture _fixture = new();

    public ProtectionTests()
    {
        _fixture.Write(Gdt + 8, 0x00AF_9B00_0000_FFFF);
        _fixture.Write(Gdt + 24, 0x00CF_F300_0000_FFFF);
        _fixture.Write(Gdt + 32, 0x00AF_FB00_0000_FFFF);
        _fixture.Cpu.Gdtr = (Gdt, 0xFF);
        _fixture.Cpu.Idtr = (Idt, 0x7FF);
        _fixture.Write(TaskState + 4, 0x1D_0000);
        _fixture.Cpu.SetSegment(SegmentName.Tr, new SegmentState { Base = TaskState, Limit = 0x67, Attributes = 0x8B, Selector = 0x40 });
        foreach (int vector in (int[])[6, 13, 14])
        {
            ulong handler = Handlers + ((ulong)vector * 32);
            _fixture.Load(handler, a =>
            {
                a.mov(r14d, vector);
                a.mov(r15, __[rsp]);
                a.hlt();
            });
            _fixture.Write(Idt + ((ulong)vector * 16), (handler & 0xFFFF) | (8 << 16) | (0x8Eul << 40) | ((handler >> 16) << 48));
            _fixture.Write(Idt + ((ulong)vector * 16) + 8, 0);
        }
    }

    [Theory]
    [InlineData("sgdt")]
    [InlineData("sidt")]
    [InlineData("sldt")]
    [InlineData("str")]
    [InlineData("smsw")]
    public void UMIP_hides_the_tables_from_user_code(string instruction)
    {
        _fixture.Cpu.Cr4 |= Umip;
        RunUser(a =>
        {
            switch (instruction)
            {
                case "sgdt": a.sgdt(__[0x1E_0000]); break;
                case "sidt": a.sidt(__[0x1E_0000]); break;
                case "sldt": a.sldt(eax); break;
                case "str": a.str(eax); break;
                default: a.smsw(eax); break;
            }
        });
        Assert.Equal(13ul, _fixture.Cpu.GetGeneralRegister(14));
        Assert.Equal(0ul, _fixture.Cpu.GetGeneralRegister(15));
    }

    [Fact]
    public void The_kernel_does_not_run_code_of_user_pages_with_SMEP()
    {
        // Code, stack and tables are the kernel's; the second 2 MB are the user's.
        _fixture.Write(Directory, 0x83);
        _fixture.Cpu.Cr4 |= Smep;
        _fixture.Execute(a =>
        {
            a.mov(rax, 0x30_0000);
            a.jmp(rax);
        });
        // Present, instruction fetch; not user.
        Assert.Equal((14ul, 0x11ul), (_fixture.Cpu.GetGeneralRegister(14), _fixture.Cpu.GetGeneralRegister(15)));
        Assert.Equal(0x30_0000ul, _fixture.Cpu.Cr2);
    }

    [Fact]
    public void The_processors_own_accesses_do_not_pass_SMAP_whatever_AC_says()
    {
        // The descriptor table moves to a user page: a load of a segment is an implicit supervisor access, AC or not. So is that of the
        // handler's, so that the fault ends in a shutdown.
        _fixture.Write(Directory, 0x83);
        for (ulong at = 0; at < 0x100; at += 8)
        {
            _fixture.Write(0x30_0000 + at, _fixture.Read(Gdt + at));
        }

        _fixture.Cpu.SetGeneralRegister(4, 0x1F_0000);
        _fixture.Cpu.Cr4 |= Smap;
        _fixture.Cpu.Gdtr = (0x30_0000, 0xFF);
        var end = _fixture.Execute(a =>
        {
            a.stac();
            a.mov(eax, __dword_ptr[0x30_0000]);
            a.mov(eax, 0x18);
            a.mov(ds, eax);
        });
        Assert.Equal(StopReason.Shutdown, end);
        Assert.Equal(16, _fixture.Cpu.GetSegment(SegmentName.Ds).Selector);
        Assert.Equal(0x18ul, _fixture.Cpu.GetGeneralRegister(0));
    }

    [Fact]
    public void Bases_of_FS_and_GS_are_user_codes_own_only_when_the_kernel_says_so()
    {
        RunUser(a => a.rdfsbase(rax));
        Assert.Equal(6ul, _fixture.Cpu.GetGeneralRegister(14));
    }

    [Fact]
    public void A_base_must_be_canonical()
    {
        _fixture.Cpu.Cr4 |= Fsgsbase;
        RunUser(a =>
        {
            a.mov(rax, 0x1234_5678_9000);
            a.wrgsbase(rax);
            a.rdgsbase(rbx);
            a.mov(rax, 0x8000_0000_0000_0000);
            a.wrgsbase(rax);
        });
        Assert.Equal(0x1234_5678_9000ul, _fixture.Cpu.GetGeneralRegister(3));
        Assert.Equal(13ul, _fixture.Cpu.GetGeneralRegister(14));
    }

    public void Dispose() => _fixture.Dispose();

    private void RunUser(Action<Assembler> code)
    {
        _fixture.Load(User, code);
        _fixture.Execute(a =>
        {
            a.push(0x1B);
            a.push(0x1F_0000);
            a.push(2);
            a.push(0x23);
            a.push((int)User);
            a.iretq();
        });
    }
}
