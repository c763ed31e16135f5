using System.Text;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

public sealed class VirtioConsoleTests
{
    private const int Receive = 0, Transmit = 1;

    private readonly RecordingByteSink _sink = new();

    private MockVirtioDriver Make(bool start = true)
    {
        var driver = new MockVirtioDriver(memory => new VirtioConsole(memory, _sink));
        if (start)
        {
            driver.Start();
        }

        return driver;
    }

    [Fact]
    public void Output_reaches_the_sink_in_order()
    {
        using var driver = Make();
        ulong text = driver.AllocateWith("Hello, console"u8);
        driver.Request(Transmit, (text, 7, false), (text + 7, 7, false));
        Assert.Equal("Hello, console", Encoding.ASCII.GetString(_sink.Bytes));
    }

    [Fact]
    public void Input_fills_the_buffers_the_driver_has_posted()
    {
        using var driver = Make();
        var console = (VirtioConsole)driver.Device;
        ulong first = driver.Allocate(4), second = driver.Allocate(16);
        driver.Submit(Receive, (first, 4, true));
        driver.Submit(Receive, (second, 16, true));
        driver.Notify(Receive);
        Assert.Equal(6, console.SendInput("abcdef"u8));
        Assert.Equal(4u, driver.Collect(Receive).Written);
        Assert.Equal(2u, driver.Collect(Receive).Written);
        Assert.Equal("abcd"u8.ToArray(), driver.ReadMemory(first, 4));
        Assert.Equal("ef"u8.ToArray(), driver.ReadMemory(second, 2));
    }

    [Fact]
    public void Input_waits_for_buffers_and_for_the_driver()
    {
        using var driver = Make(start: false);
        var console = (VirtioConsole)driver.Device;
        console.SendInput("early"u8);
        driver.Start();
        ulong buffer = driver.Allocate(16);
        driver.Submit(Receive, (buffer, 16, true));
        driver.Notify(Receive);
        Assert.Equal(5u, driver.Collect(Receive).Written);
    }

    [Fact]
    public void Input_that_nobody_reads_fills_up()
    {
        using var driver = Make();
        var console = (VirtioConsole)driver.Device;
        Assert.Equal(VirtioConsole.InputCapacity, console.SendInput(new byte[VirtioConsole.InputCapacity + 1]));
        Assert.Equal(0, console.SendInput("x"u8));
    }

    [Fact]
    public void A_resize_is_told_by_the_configuration_vector()
    {
        using var driver = Make();
        ulong generation = driver.Bus.ReadMmio(driver.Common + 0x15, 1);
        ((VirtioConsole)driver.Device).Resize(132, 50);
        Assert.Equal(132ul, driver.Bus.ReadMmio(driver.DeviceConfig, 2));
        Assert.Equal(50ul, driver.Bus.ReadMmio(driver.DeviceConfig + 2, 2));
        Assert.Contains((0xFEE0_0000ul, 0x40u), driver.Messages.Messages);
        Assert.NotEqual(generation, driver.Bus.ReadMmio(driver.Common + 0x15, 1));
    }

    [Fact]
    public void Emergency_writes_need_no_driver()
    {
        using var driver = Make(start: false);
        driver.Bus.WriteMmio(driver.DeviceConfig + 8, 4, 'E');
        Assert.Equal("E"u8.ToArray(), _sink.Bytes);
    }

    [Fact]
    public void An_absurdly_long_write_is_cut()
    {
        using var driver = Make();
        driver.Request(Transmit, (0, (uint)MockVirtioDriver.MemoryBytes, false));
        Assert.Equal(65536, _sink.Bytes.Length);
    }
}
