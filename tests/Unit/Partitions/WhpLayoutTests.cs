using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Whp;

namespace Hypervisor.Tests.Unit.Partitions;

/// <summary>Numbers taken from WinHvPlatformDefs.h and WinHvEmulation.h with a C compiler.</summary>
public class WhpLayoutTests
{
    [Fact]
    public void Structures_have_the_sizes_of_the_published_headers()
    {
        Assert.Equal(16, Unsafe.SizeOf<WhpSegment>());
        Assert.Equal(16, Unsafe.SizeOf<WhpTable>());
        Assert.Equal(16, Unsafe.SizeOf<WhpRegisterValue>());
        Assert.Equal(40, Unsafe.SizeOf<WhpProcessorContext>());
        Assert.Equal(40, Unsafe.SizeOf<WhpMemoryAccess>());
        Assert.Equal(96, Unsafe.SizeOf<WhpIoPortAccess>());
        Assert.Equal(24, Unsafe.SizeOf<WhpMsrAccess>());
        Assert.Equal(64, Unsafe.SizeOf<WhpCpuidAccess>());
        Assert.Equal(224, Unsafe.SizeOf<WhpExitContext>());
        Assert.Equal(16, Unsafe.SizeOf<WhpInterruptControl>());
        Assert.Equal(24, Unsafe.SizeOf<WhpEmulatorMemoryAccess>());
        Assert.Equal(12, Unsafe.SizeOf<WhpEmulatorIoAccess>());
        Assert.Equal(8 + 5 * 8, Unsafe.SizeOf<WhpEmulatorCallbacks>());
    }

    [Fact]
    public void Structures_have_their_fields_where_the_published_headers_have_them()
    {
        Assert.Equal(14, Offset<WhpSegment>("Attributes"));
        Assert.Equal(6, Offset<WhpTable>("Limit"));
        Assert.Equal(8, Offset<WhpTable>("Base"));
        Assert.Equal(8, Offset<WhpProcessorContext>("Cs"));
        Assert.Equal(24, Offset<WhpProcessorContext>("Rip"));
        Assert.Equal(32, Offset<WhpProcessorContext>("Rflags"));
        Assert.Equal(20, Offset<WhpMemoryAccess>("AccessInfo"));
        Assert.Equal(24, Offset<WhpMemoryAccess>("Gpa"));
        Assert.Equal(32, Offset<WhpMemoryAccess>("Gva"));
        Assert.Equal(20, Offset<WhpIoPortAccess>("AccessInfo"));
        Assert.Equal(24, Offset<WhpIoPortAccess>("Port"));
        Assert.Equal(32, Offset<WhpIoPortAccess>("Rax"));
        Assert.Equal(64, Offset<WhpIoPortAccess>("Ds"));
        Assert.Equal(80, Offset<WhpIoPortAccess>("Es"));
        Assert.Equal(8, Offset<WhpMsrAccess>("Rax"));
        Assert.Equal(16, Offset<WhpMsrAccess>("Rdx"));
        Assert.Equal(8, Offset<WhpExitContext>("Processor"));
        Assert.Equal(48, Offset<WhpExitContext>("Memory"));
        Assert.Equal(48, Offset<WhpExitContext>("ApicEoiVector"));
        Assert.Equal(8, Offset<WhpInterruptControl>("Destination"));
        Assert.Equal(12, Offset<WhpInterruptControl>("Vector"));
        Assert.Equal(8, Offset<WhpEmulatorMemoryAccess>("Direction"));
        Assert.Equal(10, Offset<WhpEmulatorMemoryAccess>("Data"));
        Assert.Equal(2, Offset<WhpEmulatorIoAccess>("Port"));
        Assert.Equal(8, Offset<WhpEmulatorIoAccess>("Data"));
    }

    [Theory]
    [InlineData(WhpRegister.Rsp, 0x4)]
    [InlineData(WhpRegister.R15, 0xF)]
    [InlineData(WhpRegister.Rflags, 0x11)]
    [InlineData(WhpRegister.Gs, 0x17)]
    [InlineData(WhpRegister.Gdtr, 0x1B)]
    [InlineData(WhpRegister.Cr8, 0x20)]
    [InlineData(WhpRegister.Dr7, 0x26)]
    [InlineData(WhpRegister.XCr0, 0x27)]
    [InlineData(WhpRegister.Efer, 0x2001)]
    [InlineData(WhpRegister.Sfmask, 0x200B)]
    [InlineData(WhpRegister.MtrrDefType, 0x200E)]
    [InlineData(WhpRegister.MtrrFix4kF8000, 0x207A)]
    [InlineData(WhpRegister.TscAux, 0x207B)]
    [InlineData(WhpRegister.TscAdjust, 0x2096)]
    [InlineData(WhpRegister.ApicLvtLint0, 0x3035)]
    [InlineData(WhpRegister.PendingEvent, 0x8000_0002)]
    [InlineData(WhpRegister.InternalActivityState, 0x8000_0005)]
    public void Registers_have_the_numbers_of_the_published_headers(WhpRegister register, uint number) => Assert.Equal(number, (uint)register);

    private static int Offset<T>(string field) => (int)Marshal.OffsetOf<T>(field);
}
