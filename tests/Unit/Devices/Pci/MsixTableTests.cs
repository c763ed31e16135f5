using Hypervisor.Engine.Devices.Pci;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Pci;

public sealed class MsixTableTests
{
    private readonly RecordingMsiSink _sink = new();
    private readonly MsixTable _table = new(70);

    public MsixTableTests()
    {
        _table.Connect(_sink);
    }

    private void Program(int vector, ulong address, uint data, bool masked)
    {
        ulong at = (ulong)vector * 16;
        _table.Write(at, 8, address);
        _table.Write(at + 8, 4, data);
        _table.Write(at + 12, 4, masked ? 1u : 0);
    }

    [Fact]
    public void A_message_is_sent_as_programmed()
    {
        Program(3, 0xFEE0_1000, 0x4041, masked: false);
        _table.SetControl(0x8000);
        _table.Signal(3);
        Assert.Equal((0xFEE0_1000ul, 0x4041u), Assert.Single(_sink.Messages));
        Assert.Equal(0xFEE0_1000ul, _table.Read(48, 8));
    }

    [Fact]
    public void Messages_are_counted_by_vector_and_a_reset_does_not_begin_again()
    {
        Program(3, 0xFEE0_1000, 0x4041, masked: false);
        Program(4, 0xFEE0_1000, 0x4042, masked: true);
        _table.SetControl(0x8000);
        _table.Signal(3);
        _table.Signal(3);
        _table.Signal(4);
        Assert.Equal((2, 0), (_table.SentBy(3), _table.SentBy(4)));
        _table.Reset();
        Assert.Equal(2, _table.SentBy(3));
    }

    [Fact]
    public void Nothing_is_sent_while_msix_is_off()
    {
        Program(3, 0xFEE0_0000, 1, masked: false);
        _table.Signal(3);
        _table.SetControl(0x8000);
        Assert.Empty(_sink.Messages);
    }

    [Fact]
    public void A_masked_vector_pends_and_is_sent_once_when_unmasked()
    {
        Program(65, 0xFEE0_0000, 7, masked: true);
        _table.SetControl(0x8000);
        _table.Signal(65);
        _table.Signal(65);
        Assert.Empty(_sink.Messages);
        Assert.Equal(2ul, _table.Read(MsixTable.PendingOffset + 8, 8));
        Program(65, 0xFEE0_0000, 8, masked: false);
        Assert.Equal((0xFEE0_0000ul, 8u), Assert.Single(_sink.Messages));
        Assert.Equal(0ul, _table.Read(MsixTable.PendingOffset + 8, 4));
    }

    [Fact]
    public void The_function_mask_holds_all_vectors_back()
    {
        Program(0, 0xFEE0_0000, 1, masked: false);
        Program(1, 0xFEE0_0000, 2, masked: false);
        _table.SetControl(0xC000);
        _table.Signal(0);
        _table.Signal(1);
        Assert.Empty(_sink.Messages);
        _table.SetControl(0x8000);
        Assert.Equal([1u, 2u], _sink.Messages.Select(m => m.Data));
    }

    [Fact]
    public void Messages_to_anywhere_but_the_local_apics_are_dropped()
    {
        Program(0, 0x1000, 1, masked: false);
        _table.SetControl(0x8000);
        _table.Signal(0);
        Assert.Empty(_sink.Messages);
        Assert.Equal(1, _table.DroppedMessages);
    }

    [Theory]
    [InlineData(70)]
    [InlineData(-1)]
    [InlineData(0xFFFF)]
    public void Vectors_beyond_the_table_are_ignored(int vector)
    {
        _table.SetControl(0x8000);
        _table.Signal(vector);
        Assert.Empty(_sink.Messages);
    }

    [Fact]
    public void Odd_accesses_and_the_space_between_are_harmless()
    {
        for (ulong offset = 0; offset < MsixTable.BarSize; offset++)
        {
            for (int size = 1; size <= 8; size++)
            {
                _table.Write(offset, size, ulong.MaxValue);
                _table.Read(offset, size);
            }
        }

        Assert.Equal(1ul, _table.Read(12, 4));
        Assert.Equal(0ul, _table.Read(MsixTable.PendingOffset, 8));
    }
}
