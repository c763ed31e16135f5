using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor;

/// <summary>Encodings that are no instructions.</summary>
public sealed class InstructionFormTests
{
    [Theory]
    [InlineData("LOCK NOP", 6, new byte[] { 0xF0, 0x90 })]
    [InlineData("LOCK ADD register", 6, new byte[] { 0xF0, 0x01, 0xC8 })]
    [InlineData("LOCK ADD register, memory", 6, new byte[] { 0xF0, 0x03, 0x05, 0, 0, 0x30, 0 })]
    [InlineData("LOCK CMP", 6, new byte[] { 0xF0, 0x39, 0x05, 0, 0, 0x30, 0 })]
    [InlineData("LOCK MOV", 6, new byte[] { 0xF0, 0x89, 0x05, 0, 0, 0x30, 0 })]
    [InlineData("LOCK BT", 6, new byte[] { 0xF0, 0x0F, 0xA3, 0x05, 0, 0, 0x30, 0 })]
    [InlineData("LOCK XCHG registers", 6, new byte[] { 0xF0, 0x87, 0xC8 })]
    [InlineData("MOV CS", 6, new byte[] { 0x8E, 0xC8 })]
    [InlineData("LEA register", 6, new byte[] { 0x8D, 0xC0 })]
    [InlineData("MONITOR", 6, new byte[] { 0x0F, 0x01, 0xC8 })]
    [InlineData("MWAIT", 6, new byte[] { 0x0F, 0x01, 0xC9 })]
    [InlineData("UD0", 6, new byte[] { 0x0F, 0xFF, 0xC0 })]
    [InlineData("15 prefixes and NOP", 13, new byte[] { 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x90 })]
    [InlineData("MOV of 16 bytes", 13, new byte[] { 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0xC7, 0x05, 0, 0, 0x30, 0, 1, 2, 3, 4 })]
    public void What_is_no_instruction_raises_its_exception_at_its_first_byte(string name, int vector, byte[] code)
    {
        using var machine = new ProtectedMachine();
        machine.Execute(a =>
        {
            a.nop();
            a.db(code);
        });
        Assert.True(machine.Vector == (uint)vector, $"{name}: {machine.Vector}");
        Assert.Equal((uint)ProcessorFixture.CodeAddress + 1, machine.Stacked(vector == 6 ? 0 : 1));
    }

    [Fact]
    public void Fifteen_bytes_are_not_too_many()
    {
        using var machine = new ProtectedMachine();
        machine.Execute(a =>
        {
            a.db(0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E);
            a.db(0x2E, 0x2E, 0xB8, 1, 0, 0, 0);
            a.db(0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E);
            a.db(0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x2E, 0x40);
        });
        Assert.Equal(2u, machine.Eax);
    }

    [Fact]
    public void Too_long_an_instruction_is_found_across_pages_too()
    {
        using var machine = new ProtectedMachine();
        machine.Load(0x14_0FFA, 32, a =>
        {
            for (int n = 0; n < 16; n++)
            {
                a.db(0x66);
            }

            a.nop();
        });
        machine.Execute(a => a.jmp(0x14_0FFA));
        Assert.Equal(13u, machine.Vector);
        Assert.Equal(0x14_0FFAu, machine.Stacked(1));
    }
}
