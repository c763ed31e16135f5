using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Serial;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Serial;

public sealed class Uart16550Tests : IDisposable
{
    private const ushort Data = 0, Ier = 1, Iir = 2, Fcr = 2, Lcr = 3, Mcr = 4, Lsr = 5, Msr = 6, Scr = 7;
    private const byte NoInterrupt = 1, ModemStatus = 0, TransmitterEmpty = 2, ReceivedData = 4, LineStatus = 6, Timeout = 12;
    private const long FlushDelay = 1_000_000;

    private readonly ManualMachineClock _clock = new();
    private readonly EdgeCountingLine _line = new();
    private readonly RecordingSink _sink = new();
    private readonly Uart16550 _uart;

    public Uart16550Tests() => _uart = new Uart16550(_clock, _line, _sink);

    public void Dispose() => _uart.Dispose();

    private byte Read(ushort register) => (byte)_uart.ReadPort(register, 1);

    private void Write(ushort register, int value) => _uart.WritePort(register, 1, (uint)value);

    private int Source() => Read(Iir) & 0x0F;

    [Fact]
    public void Output_reaches_the_sink_in_one_batch_after_a_millisecond()
    {
        foreach (char character in "hello")
        {
            Write(Data, character);
        }

        Assert.Equal("", _sink.Text);
        _clock.Advance(FlushDelay);
        Assert.Equal("hello", _sink.Text);
        Assert.Equal(1, _sink.Writes);
    }

    [Fact]
    public void A_flood_of_output_is_handed_over_without_the_clock_and_loses_nothing()
    {
        for (int i = 0; i < 100_000; i++)
        {
            Write(Data, 'a' + i % 26);
        }

        _uart.Flush();
        Assert.Equal(100_000, _sink.Text.Length);
        Assert.Equal('a' + 99_999 % 26, _sink.Text[^1]);
    }

    [Fact]
    public void The_transmitter_is_always_empty() => Assert.Equal(0x60, Read(Lsr));

    [Fact]
    public void Enabling_the_transmitter_interrupt_raises_it_every_time()
    {
        for (int round = 0; round < 2; round++)
        {
            Write(Ier, 2);
            Assert.True(_line.Asserted);
            Assert.Equal(TransmitterEmpty, Source());
            Assert.False(_line.Asserted);
            Assert.Equal(NoInterrupt, Source());
            Write(Ier, 0);
        }
    }

    [Fact]
    public void A_written_byte_raises_the_transmitter_interrupt_as_a_new_edge()
    {
        Write(Ier, 2);
        Assert.Equal(TransmitterEmpty, Source());
        int edges = _line.RisingEdges;
        for (int i = 0; i < 16; i++)
        {
            Write(Data, 'x');
        }

        Assert.Equal(edges + 1, _line.RisingEdges);
        Assert.Equal(TransmitterEmpty, Source());
        Assert.False(_line.Asserted);
    }

    [Fact]
    public void Input_below_the_trigger_level_is_a_timeout_and_at_the_level_received_data()
    {
        Write(Fcr, 0x81);
        Write(Ier, 1);
        Assert.Equal(7, _uart.Receive("1234567"u8));
        Assert.Equal(Timeout, Source());
        Assert.Equal(1, _uart.Receive("8"u8));
        Assert.Equal(ReceivedData, Source());
        Assert.Equal((byte)'1', Read(Data));
        Assert.Equal(Timeout, Source());
        for (int i = 0; i < 7; i++)
        {
            Assert.True(_line.Asserted);
            Assert.Equal(1, Read(Lsr) & 1);
            Read(Data);
        }

        Assert.False(_line.Asserted);
        Assert.Equal(0, Read(Lsr) & 1);
    }

    [Fact]
    public void Room_is_told_of_once_after_input_was_refused_and_half_of_it_read()
    {
        int told = 0;
        _uart.InputTaken = () => told++;
        Write(Fcr, 1);
        Assert.Equal(4000, _uart.Receive(new byte[4000]));
        Assert.Equal(96, _uart.Receive(new byte[100]));
        for (int i = 0; i < 4096; i++)
        {
            Assert.Equal(i <= 2047 ? 0 : 1, told);
            Read(Data);
        }

        Assert.Equal(4096, _uart.Receive(new byte[4096]));
        Assert.Equal(1, told);
    }

    [Fact]
    public void Input_beyond_the_fifo_waits_and_arrives_in_order_without_overrun()
    {
        Write(Fcr, 1);
        byte[] input = [.. Enumerable.Range(0, 5000).Select(i => (byte)i)];
        int taken = _uart.Receive(input);
        Assert.Equal(4096, taken);
        Assert.Equal(0, _uart.Receive(input));
        for (int i = 0; i < taken; i++)
        {
            Assert.Equal(0x61, Read(Lsr));
            Assert.Equal((byte)i, Read(Data));
        }

        Assert.Equal(0x60, Read(Lsr));
        Assert.Equal(10, _uart.Receive(input.AsSpan(0, 10)));
    }

    [Fact]
    public void Clearing_the_receive_fifo_drops_what_was_received_and_keeps_what_waits()
    {
        Write(Fcr, 1);
        _uart.Receive("0123456789abcdefXY"u8);
        Write(Fcr, 3);
        Assert.Equal((byte)'X', Read(Data));
        Assert.Equal((byte)'Y', Read(Data));
        Assert.Equal(0x60, Read(Lsr));
    }

    [Fact]
    public void The_identification_register_shows_the_fifos()
    {
        Assert.Equal(0x01, Read(Iir));
        Write(Fcr, 1);
        Assert.Equal(0xC1, Read(Iir));
        Write(Fcr, 0);
        Assert.Equal(0x01, Read(Iir));
    }

    [Fact]
    public void The_divisor_latch_covers_data_and_interrupt_enable()
    {
        Write(Lcr, 0x83);
        Write(Data, 0x34);
        Write(Ier, 0x12);
        Assert.Equal(0x34, Read(Data));
        Assert.Equal(0x12, Read(Ier));
        Write(Lcr, 0x03);
        Assert.Equal(0, Read(Ier));
        _uart.Flush();
        Assert.Equal("", _sink.Text);
    }

    [Fact]
    public void Loopback_returns_output_and_modem_control_and_sends_nothing()
    {
        Write(Fcr, 1);
        Write(Mcr, 0x1A);
        Assert.Equal(0x90, Read(Msr) & 0xF0);
        _uart.Receive("outside"u8);
        Write(Data, 0xAE);
        Assert.Equal(0xAE, Read(Data));
        Assert.Equal(0x60, Read(Lsr));
        Write(Mcr, 0x0B);
        Assert.Equal(0xB0, Read(Msr) & 0xF0);
        Assert.Equal((byte)'o', Read(Data));
        _uart.Flush();
        Assert.Equal("", _sink.Text);
    }

    [Fact]
    public void An_overrun_in_loopback_is_a_line_status_interrupt()
    {
        Write(Mcr, 0x10);
        Write(Ier, 4);
        Write(Data, 1);
        Write(Data, 2);
        Assert.Equal(LineStatus, Source());
        Assert.Equal(0x63, Read(Lsr));
        Assert.Equal(NoInterrupt, Source());
    }

    [Fact]
    public void A_change_of_modem_lines_interrupts_until_it_is_read()
    {
        Read(Msr);
        Write(Ier, 8);
        Write(Mcr, 0x10);
        Assert.True(_line.Asserted);
        Assert.Equal(ModemStatus, Source());
        Assert.Equal(0x0B, Read(Msr));
        Assert.False(_line.Asserted);
    }

    [Fact]
    public void The_scratch_register_keeps_its_value()
    {
        Write(Scr, 0x5A);
        Assert.Equal(0x5A, Read(Scr));
    }

    [Fact]
    public void Reset_lowers_the_interrupt_and_returns_to_power_on_values()
    {
        Write(Scr, 1);
        Write(Ier, 2);
        Write(Data, 'z');
        _uart.Reset();
        Assert.Equal("z", _sink.Text);
        Assert.False(_line.Asserted);
        Assert.Equal(0, Read(Scr));
        Assert.Equal(0, Read(Ier));
    }

    [Fact]
    public void Random_accesses_of_any_width_are_answered()
    {
        var random = new Random(16550);
        for (int i = 0; i < 200_000; i++)
        {
            ushort register = (ushort)random.Next(8);
            int size = 1 << random.Next(3);
            if (random.Next(2) == 0)
            {
                _uart.WritePort(register, size, (uint)random.NextInt64(1L << 32));
            }
            else
            {
                _uart.ReadPort(register, size);
            }

            if (random.Next(16) == 0)
            {
                _uart.Receive([(byte)random.Next(256)]);
            }
        }
    }

    private sealed class EdgeCountingLine : IInterruptLine
    {
        public bool Asserted { get; private set; }

        public int RisingEdges { get; private set; }

        public void Set(bool asserted)
        {
            RisingEdges += asserted && !Asserted ? 1 : 0;
            Asserted = asserted;
        }
    }
}
