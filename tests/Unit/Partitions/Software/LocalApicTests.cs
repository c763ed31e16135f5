using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Software;

namespace Hypervisor.Tests.Unit.Partitions.Software;

public sealed class LocalApicTests : IDisposable
{
    private readonly ApicFixture _fixture = new(4);

    private LocalApic Apic => _fixture.Apics[0];

    public void Dispose() => _fixture.Dispose();

    [Fact]
    public void Registers_have_their_values_after_power_on()
    {
        Assert.Equal(0xFEE0_0900ul, Apic.ApicBase);
        Assert.Equal(0xFEE0_0800ul, _fixture.Apics[1].ApicBase);
        Assert.Equal(0x0300_0000u, Read(_fixture.Apics[3], 0x20));
        Assert.Equal(0x0005_0014u, Read(Apic, 0x30));
        Assert.Equal(0xFFu, Read(Apic, 0xF0));
        Assert.Equal(0xFFFF_FFFFu, Read(Apic, 0xE0));
        foreach (ulong entry in new ulong[] { 0x320, 0x330, 0x340, 0x360, 0x370 })
        {
            Assert.Equal(0x1_0000u, Read(Apic, entry));
        }
    }

    [Fact]
    public void An_interrupt_is_accepted_served_and_ended()
    {
        _fixture.EnableAll();
        _fixture.Send(0xFEE0_0000, 0x4041);
        Assert.Equal(1, _fixture.Targets[0].Signals);
        Assert.True(Apic.HasInterrupt);
        Assert.Equal(2u, Read(Apic, 0x220));
        Assert.Equal(0x41, Apic.Acknowledge());
        Assert.Equal(2u, Read(Apic, 0x120));
        Assert.Equal(0u, Read(Apic, 0x220));
        Assert.Equal(0x40u, Read(Apic, 0xA0));
        Assert.False(Apic.HasInterrupt);
        Assert.Equal(-1, Apic.Acknowledge());
        Apic.WritePage(0xB0, 4, 0);
        Assert.Equal(0u, Read(Apic, 0x120));
        Assert.Empty(_fixture.EndedLevels);
    }

    [Fact]
    public void A_level_triggered_interrupt_tells_its_end()
    {
        _fixture.EnableAll();
        _fixture.Send(0xFEE0_0000, 0xC050);
        Assert.Equal(0x1_0000u, Read(Apic, 0x1A0));
        Apic.Acknowledge();
        Apic.WritePage(0xB0, 4, 0);
        Assert.Equal([0x50], _fixture.EndedLevels);
    }

    [Fact]
    public void Only_a_higher_class_interrupts_one_in_service()
    {
        _fixture.EnableAll();
        _fixture.Send(0xFEE0_0000, 0x41);
        Apic.Acknowledge();
        _fixture.Send(0xFEE0_0000, 0x4F);
        Assert.False(Apic.HasInterrupt);
        _fixture.Send(0xFEE0_0000, 0x51);
        Assert.Equal(0x51, Apic.Acknowledge());
        Apic.WritePage(0xB0, 4, 0);
        Assert.False(Apic.HasInterrupt);
        Apic.WritePage(0xB0, 4, 0);
        Assert.Equal(0x4F, Apic.Acknowledge());
    }

    [Fact]
    public void The_task_priority_holds_back_and_lowering_it_signals()
    {
        _fixture.EnableAll();
        Apic.TaskPriority = 5;
        Assert.Equal(0x50u, Read(Apic, 0x80));
        _fixture.Send(0xFEE0_0000, 0x5E);
        Assert.False(Apic.HasInterrupt);
        int signals = _fixture.Targets[0].Signals;
        Apic.TaskPriority = 4;
        Assert.True(_fixture.Targets[0].Signals > signals);
        Assert.True(Apic.HasInterrupt);
    }

    [Fact]
    public void A_disabled_apic_takes_no_fixed_interrupt_but_nmi_and_init()
    {
        _fixture.Send(0xFEE0_0000, 0x41);
        Assert.False(Apic.HasInterrupt);
        Assert.Equal(0u, Read(Apic, 0x220));
        _fixture.Send(0xFEE0_0000, 0x400);
        _fixture.Send(0xFEE0_0000, 0x500);
        Assert.Equal((1, 1), (_fixture.Targets[0].Nmis, _fixture.Targets[0].Inits));
    }

    [Fact]
    public void Disabling_by_software_masks_every_local_vector()
    {
        _fixture.EnableAll();
        Apic.WritePage(0x320, 4, 0x30);
        Apic.WritePage(0x350, 4, 0x700);
        Apic.WritePage(0xF0, 4, 0xFF);
        Assert.Equal(0x1_0030u, Read(Apic, 0x320));
        Assert.Equal(0x1_0700u, Read(Apic, 0x350));
        Apic.WritePage(0x320, 4, 0x30);
        Assert.Equal(0x1_0030u, Read(Apic, 0x320));
    }

    [Fact]
    public void Flat_logical_destinations_reach_every_named_processor()
    {
        _fixture.EnableAll();
        for (int i = 0; i < 4; i++)
        {
            _fixture.Apics[i].WritePage(0xD0, 4, 0x0100_0000ul << i);
        }

        _fixture.Send(0xFEE0_6004, 0x41);
        Assert.Equal([false, true, true, false], _fixture.Apics.Select(apic => apic.HasInterrupt));
    }

    [Fact]
    public void Cluster_logical_destinations_reach_the_named_members_of_the_cluster()
    {
        _fixture.EnableAll();
        for (int i = 0; i < 4; i++)
        {
            _fixture.Apics[i].WritePage(0xE0, 4, 0x0FFF_FFFF);
            _fixture.Apics[i].WritePage(0xD0, 4, (ulong)(((i / 2) << 4) | (1 << (i % 2))) << 24);
        }

        _fixture.Send(0xFEE1_2004, 0x41);
        Assert.Equal([false, false, false, true], _fixture.Apics.Select(apic => apic.HasInterrupt));
        _fixture.Send(0xFEEF_1004, 0x42);
        Assert.Equal([true, false, true, true], _fixture.Apics.Select(apic => apic.HasInterrupt));
    }

    [Fact]
    public void The_physical_broadcast_reaches_all()
    {
        _fixture.EnableAll();
        _fixture.Send(0xFEEF_F000, 0x41);
        Assert.All(_fixture.Apics, apic => Assert.True(apic.HasInterrupt));
    }

    [Fact]
    public void Lowest_priority_goes_to_one_processor_with_the_least_to_do()
    {
        _fixture.EnableAll();
        for (int i = 0; i < 4; i++)
        {
            _fixture.Apics[i].WritePage(0xD0, 4, 0x0100_0000ul << i);
            _fixture.Apics[i].TaskPriority = (byte)(i == 2 ? 1 : 8);
        }

        for (uint vector = 0x41; vector < 0x49; vector++)
        {
            _fixture.Send(0xFEEF_F004, 0x100 | vector);
        }

        Assert.Equal(0x1FEu, Read(_fixture.Apics[2], 0x220));
    }

    [Fact]
    public void Lowest_priority_takes_turns_among_equals()
    {
        _fixture.EnableAll();
        for (uint vector = 0x41; vector < 0x45; vector++)
        {
            _fixture.Send(0xFEEF_F000, 0x100 | vector);
        }

        Assert.All(_fixture.Apics, apic => Assert.True(apic.HasInterrupt));
    }

    [Fact]
    public void Commands_start_other_processors()
    {
        Apic.WritePage(0x310, 4, 0x0200_0000);
        Apic.WritePage(0x300, 4, 0xC500);
        Apic.WritePage(0x300, 4, 0x8500);
        Apic.WritePage(0x300, 4, 0x0699);
        Assert.Equal(1, _fixture.Targets[2].Inits);
        Assert.Equal([0x99], _fixture.Targets[2].StartUps);
        Assert.Equal(0, _fixture.Targets[1].Inits);
        Assert.Equal(0x0200_0000u, Read(Apic, 0x310));
        Assert.Equal(0x0699u, Read(Apic, 0x300));
    }

    [Theory]
    [InlineData(0x4_0041, true, false)]
    [InlineData(0x8_0041, true, true)]
    [InlineData(0xC_0041, false, true)]
    public void Shorthands_name_the_sender_all_or_all_others(uint command, bool self, bool others)
    {
        _fixture.EnableAll();
        Apic.WritePage(0x300, 4, command);
        Assert.Equal([self, others, others, others], _fixture.Apics.Select(apic => apic.HasInterrupt));
    }

    [Fact]
    public void Illegal_vectors_are_errors_that_a_write_latches()
    {
        _fixture.EnableAll();
        Apic.WritePage(0x370, 4, 0xFE);
        Apic.WritePage(0x300, 4, 0x0005);
        _fixture.Send(0xFEE0_0000, 0x08);
        Assert.Equal(0u, Read(Apic, 0x280));
        Apic.WritePage(0x280, 4, 0);
        Assert.Equal(0x60u, Read(Apic, 0x280));
        Assert.Equal(0xFE, Apic.Acknowledge());
    }

    [Fact]
    public void Registers_that_do_not_exist_are_errors()
    {
        Read(Apic, 0x3A0);
        Apic.WritePage(0x280, 4, 0);
        Assert.Equal(0x80u, Read(Apic, 0x280));
    }

    [Fact]
    public void Init_clears_all_but_the_base()
    {
        _fixture.EnableAll();
        _fixture.SwitchAllToX2();
        _fixture.Send(0xFEE0_1000, 0x41);
        _fixture.Send(0xFEE0_1000, 0x500);
        var apic = _fixture.Apics[1];
        Assert.Equal(0xFEE0_0C00ul, apic.ApicBase);
        Assert.False(apic.HasInterrupt);
        Assert.Equal(0xFFul, ReadMsr(apic, 0x80F));
    }

    [Fact]
    public void The_external_interrupt_comes_through_line_0()
    {
        var source = new Source();
        Apic.AttachExternalSource(source);
        Apic.SetExternalLine(true);
        Assert.True(Apic.HasInterrupt);
        Assert.Equal(0x30, Apic.Acknowledge());
        Apic.WritePage(0x350, 4, 0x1_0700);
        Assert.False(Apic.HasInterrupt);
        _fixture.EnableAll();
        int signals = _fixture.Targets[0].Signals;
        Apic.WritePage(0x350, 4, 0x0700);
        Assert.True(Apic.HasInterrupt);
        Assert.True(_fixture.Targets[0].Signals > signals);
        Apic.SetExternalLine(false);
        Assert.False(Apic.HasInterrupt);
    }

    [Fact]
    public void Line_0_may_be_a_fixed_interrupt()
    {
        _fixture.EnableAll();
        Apic.WritePage(0x350, 4, 0x0033);
        Apic.SetExternalLine(true);
        Assert.Equal(0x33, Apic.Acknowledge());
    }

    [Fact]
    public void The_page_moves_with_its_base_and_goes_with_x2apic_mode()
    {
        Assert.True(Apic.IsPageAt(0xFEE0_0FF0));
        Assert.True(Apic.TryWriteMsr(0x1B, 0xF000_0900));
        Assert.True(Apic.IsPageAt(0xF000_0000));
        Assert.False(Apic.IsPageAt(0xFEE0_0000));
        Assert.True(Apic.TryWriteMsr(0x1B, 0xF000_0D00));
        Assert.False(Apic.IsPageAt(0xF000_0000));
        Assert.Equal(2, _fixture.Targets[0].Moves - _fixture.Targets[3].Moves);
    }

    [Theory]
    [InlineData(0xFEE0_0C00ul, 0xFEE0_0800ul)] // x2APIC to xAPIC
    [InlineData(0xFEE0_0000ul, 0xFEE0_0C00ul)] // disabled to x2APIC
    [InlineData(0xFEE0_0800ul, 0xFEE0_0400ul)] // x2APIC without enable
    [InlineData(0xFEE0_0800ul, 0xFEE0_0801ul)] // a reserved bit
    public void Illegal_changes_of_mode_are_refused(ulong from, ulong to)
    {
        Assert.True(_fixture.Apics[1].TryWriteMsr(0x1B, from));
        Assert.False(_fixture.Apics[1].TryWriteMsr(0x1B, to));
        Assert.Equal(from, _fixture.Apics[1].ApicBase);
    }

    [Fact]
    public void X2apic_registers_are_msrs_with_a_fixed_logical_id()
    {
        Assert.False(Apic.TryReadMsr(0x802, out _));
        _fixture.EnableAll();
        _fixture.SwitchAllToX2();
        Assert.Equal(3ul, ReadMsr(_fixture.Apics[3], 0x802));
        Assert.Equal(8ul, ReadMsr(_fixture.Apics[3], 0x80D));
        Assert.True(Apic.TryWriteMsr(0x830, 0x0000_0003_0000_0041));
        Assert.True(_fixture.Apics[3].HasInterrupt);
        Assert.True(Apic.TryWriteMsr(0x830, 0x0000_0006_0000_0842));
        Assert.Equal([false, true, true, true], _fixture.Apics.Select(apic => apic.HasInterrupt));
        Assert.Equal(0x0000_0006_0000_0842ul, ReadMsr(Apic, 0x830));
        Assert.True(Apic.TryWriteMsr(0x83F, 0x43));
        Assert.Equal(0x43, Apic.Acknowledge());
        Assert.True(Apic.TryWriteMsr(0x80B, 0));
    }

    [Theory]
    [InlineData(0x802, 0)] // read-only
    [InlineData(0x80B, 1)] // EOI takes zero only
    [InlineData(0x80D, 1)] // the logical id is fixed
    [InlineData(0x80E, 0)] // no destination format
    [InlineData(0x831, 0)] // the command register is one
    [InlineData(0x828, 1)] // error status takes zero only
    [InlineData(0x808, 0x100)] // reserved bits
    [InlineData(0x83E, 0x10)]
    [InlineData(0x8FF, 0)]
    public void X2apic_mode_refuses_what_is_reserved(uint msr, ulong value)
    {
        _fixture.SwitchAllToX2();
        Assert.False(Apic.TryWriteMsr(msr, value));
    }

    [Theory]
    [InlineData(0x80B)]
    [InlineData(0x80E)]
    [InlineData(0x831)]
    [InlineData(0x83F)]
    [InlineData(0x82F)]
    [InlineData(0x800)]
    public void X2apic_mode_refuses_to_read_what_does_not_exist(uint msr)
    {
        _fixture.SwitchAllToX2();
        Assert.False(Apic.TryReadMsr(msr, out _));
    }

    [Fact]
    public void Addresses_outside_the_message_range_are_no_messages()
    {
        Assert.False(ApicMessage.TryDecode(0xFED0_0000, 0x41, out _));
        Assert.False(ApicMessage.TryDecode(0x1_FEE0_0000, 0x41, out _));
    }

    [Fact]
    public void Garbage_in_registers_and_messages_never_throws()
    {
        var random = new Random(0xA91C);
        for (int i = 0; i < 300_000; i++)
        {
            var apic = _fixture.Apics[random.Next(4)];
            switch (random.Next(9))
            {
                case 0:
                    apic.ReadPage((ulong)random.Next(4096), 1 << random.Next(4));
                    break;
                case 1:
                    apic.TryReadMsr(0x800u + (uint)random.Next(256), out _);
                    break;
                case 2:
                    apic.TryWriteMsr(0x800u + (uint)random.Next(256), (ulong)random.NextInt64() >> random.Next(64));
                    break;
                case 3:
                    apic.TryWriteMsr(0x1B, 0xFEE0_0000u | (uint)random.Next(16) << 8);
                    break;
                case 4:
                    _fixture.Send(0xFEE0_0000u | (uint)random.Next(0x10_0000), (uint)random.Next());
                    break;
                case 5:
                    apic.Acknowledge();
                    break;
                case 6:
                    _fixture.Clock.Advance(random.Next(100_000));
                    break;
                case 7:
                    apic.TryWriteMsr(0x6E0, (ulong)random.NextInt64() >> random.Next(64));
                    break;
                default:
                    apic.WritePage((ulong)random.Next(256) * 16, 1 << random.Next(4), (ulong)random.NextInt64());
                    break;
            }
        }
    }

    private static uint Read(LocalApic apic, ulong offset) => (uint)apic.ReadPage(offset, 4);

    private static ulong ReadMsr(LocalApic apic, uint index)
    {
        Assert.True(apic.TryReadMsr(index, out ulong value));
        return value;
    }

    private sealed class Source : IExternalInterruptSource
    {
        public byte Acknowledge() => 0x30;
    }
}
