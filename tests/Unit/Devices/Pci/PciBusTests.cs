using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Pci;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Pci;

public sealed class PciBusTests
{
    private readonly MachineBus _bus = new();
    private readonly RecordingMsiSink _messages = new();
    private readonly Dictionary<int, RecordingLine> _lines = [];
    private readonly PciBus _pci;

    public PciBusTests()
    {
        _pci = new PciBus(_bus, _messages, gsi => _lines[gsi] = new RecordingLine());
    }

    private uint Read(int slot, int offset, int size)
    {
        _bus.WritePort(0xCF8, 4, 0x8000_0000u | ((uint)slot << 11) | ((uint)offset & 0xFC));
        return _bus.ReadPort((ushort)(0xCFC + (offset & 3)), size);
    }

    private void Write(int slot, int offset, int size, uint value)
    {
        _bus.WritePort(0xCF8, 4, 0x8000_0000u | ((uint)slot << 11) | ((uint)offset & 0xFC));
        _bus.WritePort((ushort)(0xCFC + (offset & 3)), size, value);
    }

    [Fact]
    public void The_host_bridge_is_there()
    {
        Assert.Equal(0x1237_8086u, Read(0, 0, 4));
        Assert.Equal(0x0600u, Read(0, 10, 2));
        Assert.Equal(0x33u, Read(0, 0x59, 1));
    }

    [Fact]
    public void Absent_functions_read_as_ones()
    {
        Assert.Equal(uint.MaxValue, Read(9, 0, 4));
        Assert.Equal(0xFFFFu, Read(9, 0, 2));
        Assert.Equal(0xFFul, _bus.ReadMmio(PlatformLayout.EcamBase + (9 << 15), 1));
        Assert.Equal(0xFFFF_FFFFul, _bus.ReadMmio(PlatformLayout.EcamBase + 0xFFF_FFFC, 4));
        _bus.WriteMmio(PlatformLayout.EcamBase + 0xFFF_FFF8, 8, 1);
    }

    [Fact]
    public void A_disabled_address_register_reaches_nothing()
    {
        _bus.WritePort(0xCF8, 4, 0);
        Assert.Equal(uint.MaxValue, _bus.ReadPort(0xCFC, 4));
        _bus.WritePort(0xCF8, 4, 0x8000_0000);
        Assert.Equal(0x8000_0000u, _bus.ReadPort(0xCF8, 4));
        _bus.WritePort(0xCF8, 1, 0x55);
        Assert.Equal(0x8000_0000u, _bus.ReadPort(0xCF8, 4));
    }

    [Fact]
    public void Both_mechanisms_show_the_same_bytes_at_every_width()
    {
        _pci.Attach(new TestDevice(), 4);
        for (int offset = 0; offset < 256; offset++)
        {
            ulong ecam = PlatformLayout.EcamBase + (4 << 15) + (ulong)offset;
            Assert.Equal(_bus.ReadMmio(ecam, 1), Read(4, offset, 1));
            if ((offset & 1) == 0)
            {
                Assert.Equal(_bus.ReadMmio(ecam, 2), Read(4, offset, 2));
            }

            if ((offset & 3) == 0)
            {
                Assert.Equal(_bus.ReadMmio(ecam, 4), Read(4, offset, 4));
            }
        }

        Assert.Equal(_bus.ReadMmio(PlatformLayout.EcamBase + (4 << 15), 4), (uint)_bus.ReadMmio(PlatformLayout.EcamBase + (4 << 15), 8));
        Assert.Equal(0x5678_1234u, (uint)_bus.ReadMmio(PlatformLayout.EcamBase + (4 << 15), 8));
    }

    [Fact]
    public void Read_only_registers_keep_their_values()
    {
        _pci.Attach(new TestDevice(), 4);
        for (int offset = 0; offset < 256; offset += 4)
        {
            Write(4, offset, 4, 0xFFFF_FFFF);
        }

        Assert.Equal(0x5678_1234u, Read(4, 0, 4));
        Assert.Equal(0xFF00_0001u, Read(4, 8, 4));
        Assert.Equal(0x0407u, Read(4, 4, 2));
        Assert.Equal(0u, Read(4, 0x30, 4));
    }

    [Fact]
    public void Bars_tell_their_size()
    {
        _pci.Attach(new TestDevice(), 4);
        Write(4, 0x10, 4, 0xFFFF_FFFF);
        Assert.Equal(0xFFFF_E000u, Read(4, 0x10, 4));
        Write(4, 0x14, 4, 0xFFFF_FFFF);
        Assert.Equal(0xFFFF_FFE1u, Read(4, 0x14, 4));
        Write(4, 0x18, 4, 0xFFFF_FFFF);
        Write(4, 0x1C, 4, 0xFFFF_FFFF);
        Assert.Equal(0xE000_000Cu, Read(4, 0x18, 4));
        Assert.Equal(0xFFFF_FFFFu, Read(4, 0x1C, 4));
        Assert.Equal(0u, Read(4, 0x24, 4));
    }

    [Fact]
    public void A_memory_bar_answers_where_it_is_put_while_decoding_is_on()
    {
        _pci.Attach(new TestDevice(), 4);
        Write(4, 0x10, 4, 0xF000_0000);
        Assert.Equal(0xFFFF_FFFFul, _bus.ReadMmio(0xF000_0004, 4));
        Write(4, 4, 2, 2);
        Assert.Equal(0x0000_0004ul, _bus.ReadMmio(0xF000_0004, 4));
        Write(4, 0x10, 4, 0xF100_0000);
        Assert.Equal(0xFFFF_FFFFul, _bus.ReadMmio(0xF000_0004, 4));
        Assert.Equal(0x0000_0008ul, _bus.ReadMmio(0xF100_0008, 4));
        Write(4, 4, 2, 0);
        Assert.Equal(0xFFFF_FFFFul, _bus.ReadMmio(0xF100_0008, 4));
    }

    [Fact]
    public void A_port_bar_answers_at_its_ports()
    {
        _pci.Attach(new TestDevice(), 4);
        Write(4, 0x14, 4, 0xC100);
        Write(4, 4, 2, 1);
        Assert.Equal(0x0100_0005u, _bus.ReadPort(0xC105, 4));
        Write(4, 0x14, 4, 0xFFFF_FFFF);
        Assert.Equal(0xFFFFu, _bus.ReadPort(0xC105, 2));
        Write(4, 0x14, 4, 0x1_C100);
        Assert.Equal(0xFFFFu, _bus.ReadPort(0xC105, 2));
    }

    [Fact]
    public void A_64_bit_bar_answers_above_4_GB()
    {
        _pci.Attach(new TestDevice(), 4);
        Write(4, 0x18, 4, 0x2000_0000);
        Write(4, 0x1C, 4, 0x70);
        Write(4, 4, 2, 2);
        Assert.Equal(0x0200_0010ul, _bus.ReadMmio(0x70_2000_0010, 4));
    }

    [Fact]
    public void The_loser_of_a_bar_conflict_appears_when_the_winner_leaves()
    {
        _pci.Attach(new TestDevice(), 4);
        _pci.Attach(new TestDevice(), 5);
        Write(4, 0x10, 4, 0xF000_0000);
        Write(4, 4, 2, 2);
        Write(5, 0x10, 4, 0xF000_0000);
        Write(5, 4, 2, 2);
        Assert.Equal(4ul, _bus.ReadMmio(0xF000_0004, 4));
        Write(4, 0x10, 4, 0xF200_0000);
        Assert.Equal(4ul, _bus.ReadMmio(0xF000_0004, 4));
        Assert.Equal(4ul, _bus.ReadMmio(0xF200_0004, 4));
        Write(4, 0x10, 4, (uint)PlatformLayout.EcamBase);
        Assert.Equal(0x1237_8086ul, _bus.ReadMmio(PlatformLayout.EcamBase, 4));
    }

    [Fact]
    public void Assigned_bars_lie_in_the_windows_without_overlap()
    {
        for (int i = 0; i < 20; i++)
        {
            _pci.Attach(new TestDevice());
        }

        _pci.AssignResources();
        var ranges = new List<(ulong First, ulong Last)>();
        for (int slot = 2; slot < 22; slot++)
        {
            ulong low = Read(slot, 0x10, 4), ports = Read(slot, 0x14, 4) & ~3u;
            ulong high = ((ulong)Read(slot, 0x1C, 4) << 32) | (Read(slot, 0x18, 4) & ~0xFu);
            Assert.InRange(low, PlatformLayout.PciMmioHighBase, PlatformLayout.IoApicBase - 0x2000);
            Assert.InRange(ports, PlatformLayout.PciPortBase, 0xFFE0ul);
            Assert.InRange(high, PlatformLayout.PciMmio64Base, PlatformLayout.PciMmio64Base + PlatformLayout.PciMmio64Size - 0x2000_0000);
            ranges.Add((low, low + 0x1FFF));
            ranges.Add((high, high + 0x1FFF_FFFF));
            Assert.Equal((uint)PlatformLayout.PciInterruptGsi(slot, 0), Read(slot, 0x3C, 1));
            Assert.Equal(3u, Read(slot, 4, 2));
        }

        ranges.Sort();
        Assert.All(ranges.Zip(ranges.Skip(1)), pair => Assert.True(pair.First.Last < pair.Second.First));
    }

    [Fact]
    public void Windows_that_are_full_are_reported()
    {
        for (int i = 0; i < 30; i++)
        {
            _pci.Attach(new TestDevice(largeBar: 1ul << 32));
        }

        Assert.Contains("address space", Assert.Throws<InvalidOperationException>(_pci.AssignResources).Message, StringComparison.Ordinal);
        Assert.Throws<InvalidOperationException>(() => _pci.Attach(new TestDevice()));
    }

    [Fact]
    public void Functions_on_one_line_share_it()
    {
        var first = new TestDevice();
        var second = new TestDevice();
        _pci.Attach(first, 4);
        _pci.Attach(second, 12);
        var line = _lines[PlatformLayout.PciInterruptGsi(4, 0)];
        first.Pull(true);
        second.Pull(true);
        first.Pull(false);
        Assert.True(line.Level);
        Assert.Equal(0u, Read(4, 6, 2) & 8);
        Assert.Equal(8u, Read(12, 6, 2) & 8);
        Write(12, 4, 2, 0x400);
        Assert.False(line.Level);
        Assert.Equal(8u, Read(12, 6, 2) & 8);
        Write(12, 4, 2, 0);
        Assert.True(line.Level);
        second.Pull(false);
        Assert.False(line.Level);
    }

    [Fact]
    public void The_reset_control_register_asks_for_a_reset_on_the_rising_edge()
    {
        int resets = 0;
        _pci.ResetRequested = () => resets++;
        _bus.WritePort(0xCF9, 1, 2);
        Assert.Equal(0, resets);
        _bus.WritePort(0xCF9, 1, 6);
        Assert.Equal(1, resets);
    }

    [Fact]
    public void Several_functions_of_a_slot_say_so()
    {
        _pci.Attach(new TestDevice(), 4);
        Assert.Throws<InvalidOperationException>(() => _pci.Attach(new TestDevice(), 4));
        Assert.Throws<InvalidOperationException>(() => _pci.Attach(new TestDevice(), 5, 1));
        _pci.Attach(new TestDevice(), 4, 3);
        Assert.Equal(0x80u, Read(4, 0x0E, 1));
        Assert.Equal(0x5678_1234ul, _bus.ReadMmio(PlatformLayout.EcamBase + (4 << 15) + (3 << 12), 4));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void Random_configuration_writes_never_throw_and_leave_the_fixed_devices_in_place(int seed)
    {
        var random = new Random(seed);
        for (int i = 0; i < 4; i++)
        {
            _pci.Attach(new TestDevice());
        }

        for (int i = 0; i < 20_000; i++)
        {
            int slot = random.Next(0, 7), size = 1 << random.Next(3);
            int offset = random.Next(2) == 0 ? random.Next(4, 0x28) : random.Next(0, 256);
            uint value = random.Next(4) switch { 0 => uint.MaxValue, 1 => 0xE000_0000, 2 => 0xFEE0_0000, _ => (uint)random.NextInt64() };
            Write(slot, offset, size, value);
            _bus.ReadMmio((ulong)random.NextInt64() & 0xFFFF_FFFF, 8);
            _bus.WriteMmio(PlatformLayout.EcamBase + (ulong)random.Next(0, 1 << 18), 1 + random.Next(8), (ulong)random.NextInt64());
        }

        Assert.Equal(0x1237_8086ul, _bus.ReadMmio(PlatformLayout.EcamBase, 4));
        _pci.Reset();
        Assert.Equal(0u, Read(2, 4, 2));
    }

    private sealed class TestDevice : PciDevice
    {
        public TestDevice(ulong largeBar = 0x2000_0000)
            : base(new PciIdentity(0x1234, 0x5678, 0xFF0000, Revision: 1, SubsystemVendorId: 1, SubsystemId: 2))
        {
            AddMemoryBar(0, 0x2000);
            AddPortBar(1, 32);
            AddMemoryBar(2, largeBar, is64Bit: true, prefetchable: true);
            UseInterruptPin();
        }

        public void Pull(bool asserted) => SetInterrupt(asserted);

        protected internal override ulong ReadBar(int bar, ulong offset, int size) => ((ulong)bar << 24) | offset;
    }
}
