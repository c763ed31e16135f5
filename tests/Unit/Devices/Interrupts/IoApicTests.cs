using Hypervisor.Engine.Devices.Interrupts;

namespace Hypervisor.Tests.Unit.Devices.Interrupts;

public sealed class IoApicTests
{
    private readonly List<(ulong Address, uint Data)> _messages = [];
    private readonly IoApic _apic;

    public IoApicTests()
    {
        _apic = new IoApic((address, data) => _messages.Add((address, data)));
    }

    [Fact]
    public void The_version_register_tells_24_inputs_and_an_end_of_interrupt_register()
    {
        Assert.Equal(0x0017_0020u, Read(1));
    }

    [Fact]
    public void All_inputs_are_masked_after_reset()
    {
        for (int input = 0; input < IoApic.InputCount; input++)
        {
            Assert.Equal(0x10000u, Read(0x10 + (2 * input)));
            _apic.SetLine(input, true);
        }

        Assert.Empty(_messages);
    }

    [Fact]
    public void An_edge_becomes_one_message_to_the_destination_of_its_entry()
    {
        Program(4, destination: 3, low: 0x0041);
        _apic.SetLine(4, true);
        _apic.SetLine(4, true);
        _apic.SetLine(4, false);
        Assert.Equal([(0xFEE0_3000ul, 0x4041u)], _messages);
    }

    [Fact]
    public void Logical_lowest_priority_entries_say_so_in_the_message()
    {
        Program(4, destination: 0xFF, low: 0x0941);
        _apic.SetLine(4, true);
        Assert.Equal([(0xFEEF_F004ul, 0x4141u)], _messages);
    }

    [Fact]
    public void An_edge_at_a_masked_input_is_lost()
    {
        Program(4, destination: 0, low: 0x1_0041);
        _apic.SetLine(4, true);
        Program(4, destination: 0, low: 0x0041);
        Assert.Empty(_messages);
    }

    [Fact]
    public void A_level_fires_once_until_its_end_of_interrupt_and_again_while_it_stays()
    {
        Program(16, destination: 0, low: 0x8050);
        _apic.SetLine(16, true);
        Assert.Single(_messages);
        Assert.Equal(0xC050u, Read(0x30));
        _apic.SetLine(16, false);
        _apic.SetLine(16, true);
        Assert.Single(_messages);
        _apic.EndOfInterrupt(0x51);
        Assert.Single(_messages);
        _apic.EndOfInterrupt(0x50);
        Assert.Equal(2, _messages.Count);
        _apic.SetLine(16, false);
        _apic.EndOfInterrupt(0x50);
        Assert.Equal(2, _messages.Count);
        Assert.Equal(0x8050u, Read(0x30));
    }

    [Fact]
    public void A_level_that_waits_behind_its_mask_fires_when_unmasked()
    {
        Program(16, destination: 0, low: 0x1_8050);
        _apic.SetLine(16, true);
        Program(16, destination: 0, low: 0x8050);
        Assert.Single(_messages);
    }

    [Fact]
    public void The_end_of_interrupt_register_serves_as_a_local_apic_does()
    {
        Program(16, destination: 0, low: 0x8050);
        _apic.SetLine(16, true);
        _apic.WriteMmio(0x40, 4, 0x50);
        Assert.Equal(2, _messages.Count);
    }

    [Fact]
    public void Making_an_input_edge_triggered_for_a_moment_clears_remote_irr()
    {
        Program(16, destination: 0, low: 0x8050);
        _apic.SetLine(16, true);
        _apic.SetLine(16, false);
        Program(16, destination: 0, low: 0x1_0050);
        Program(16, destination: 0, low: 0x8050);
        Assert.Equal(0x8050u, Read(0x30));
    }

    [Fact]
    public void Garbage_in_the_registers_never_throws()
    {
        var random = new Random(82093);
        for (int i = 0; i < 200_000; i++)
        {
            ulong offset = (ulong)(random.Next(3) == 0 ? random.Next(4096) : random.Next(5) * 16);
            int size = 1 << random.Next(4);
            switch (random.Next(4))
            {
                case 0:
                    _apic.ReadMmio(offset, size);
                    break;
                case 1:
                    _apic.EndOfInterrupt((byte)random.Next());
                    break;
                case 2:
                    _apic.SetLine(random.Next(24), random.Next(2) == 0);
                    break;
                default:
                    _apic.WriteMmio(offset, size, (ulong)random.NextInt64());
                    break;
            }

            _messages.Clear();
        }
    }

    private void Program(int input, uint destination, uint low)
    {
        Write(0x11 + (2 * input), destination << 24);
        Write(0x10 + (2 * input), low);
    }

    private void Write(int register, uint value)
    {
        _apic.WriteMmio(0, 4, (ulong)register);
        _apic.WriteMmio(0x10, 4, value);
    }

    private uint Read(int register)
    {
        _apic.WriteMmio(0, 4, (ulong)register);
        return (uint)_apic.ReadMmio(0x10, 4);
    }
}
