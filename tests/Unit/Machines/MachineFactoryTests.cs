using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Machines;

public class MachineFactoryTests
{
    private static readonly VirtualMachineConfiguration Configuration = new()
    {
        Id = Guid.NewGuid(),
        Name = "vm",
        MemoryMB = 64,
        NumCpu = 1,
        KernelPath = "/nowhere/vmlinuz",
        Backend = BackendKind.Software,
    };

    private static string Refusal(VirtualMachineConfiguration configuration) =>
        Assert.Throws<MachineException>(() => new MachineFactory().Create(configuration)).Message;

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(65)]
    [InlineData(int.MaxValue)]
    public void An_absurd_number_of_processors_is_refused_with_the_limits(int count) =>
        Assert.Contains("1 to 64", Refusal(Configuration with { NumCpu = count }), StringComparison.Ordinal);

    [Theory]
    [InlineData(0)]
    [InlineData(-5)]
    [InlineData(int.MinValue)]
    public void Too_little_memory_is_refused_with_the_limit(int megabytes) =>
        Assert.Contains("at least 4 MB", Refusal(Configuration with { MemoryMB = megabytes }), StringComparison.Ordinal);

    [Fact]
    public void Memory_beyond_the_hosts_is_refused_with_both_numbers()
    {
        string message = Assert.Throws<MachineException>(() => MachineLimits.Check(Configuration with { MemoryMB = 5000 }, 4L << 30)).Message;
        Assert.Contains("5000 MB", message, StringComparison.Ordinal);
        Assert.Contains("4096 MB", message, StringComparison.Ordinal);
        MachineLimits.Check(Configuration with { MemoryMB = 4096 }, 4L << 30);
    }

    [Fact]
    public void A_missing_kernel_is_named() => Assert.Contains("/nowhere/vmlinuz", Refusal(Configuration), StringComparison.Ordinal);

    [Fact]
    public void A_missing_firmware_is_named() =>
        Assert.Contains("/nowhere/bios", Refusal(Configuration with { KernelPath = null, FirmwarePath = "/nowhere/bios" }), StringComparison.Ordinal);

    [Fact]
    public void An_unknown_advanced_setting_is_named_beside_those_there_are()
    {
        string refusal = Refusal(Configuration with { AdvancedSettings = new Dictionary<string, string> { ["debugExit.prot"] = "0xf4" } });
        Assert.Contains("debugExit.prot", refusal, StringComparison.Ordinal);
        Assert.Contains("debugExit.port", refusal, StringComparison.Ordinal);
        Assert.Equal((ushort)0xF4, AdvancedSettings.Read(Configuration with { AdvancedSettings = new Dictionary<string, string> { ["DEBUGEXIT.port"] = "0xf4" } }).DebugExitPort);
    }

    [Theory]
    [InlineData("debugExit.port", "x")]
    [InlineData("debugExit.port", "0x12345")]
    [InlineData("debugExit.port", "-1")]
    [InlineData("tripleFault.action", "explode")]
    [InlineData("console.device", "teletype")]
    public void A_wrong_advanced_setting_is_named(string name, string value) =>
        Assert.Contains(name, Refusal(Configuration with { AdvancedSettings = new Dictionary<string, string> { [name] = value } }), StringComparison.Ordinal);

    [Theory]
    [InlineData("0xf4")]
    [InlineData("f4h")]
    [InlineData("244")]
    public void A_port_can_be_written_in_the_usual_ways(string value)
    {
        var settings = AdvancedSettings.Read(Configuration with { AdvancedSettings = new Dictionary<string, string> { ["debugExit.port"] = value } });
        Assert.Equal((ushort)0xF4, settings.DebugExitPort);
    }

    [Fact]
    public void An_unknown_disk_format_is_refused_by_name()
    {
        string message = Assert.Throws<MachineException>(() => DiskAttachments.Open(new() { Path = "disk", Format = "vhdx" })).Message;
        Assert.Contains("vhdx", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_disk_in_use_is_refused_with_its_path_and_holder()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, new byte[4096]);
            using var first = DiskAttachments.Open(new() { Path = path });
            string message = Assert.Throws<MachineException>(() => DiskAttachments.Open(new() { Path = path })).Message;
            Assert.Contains(path, message, StringComparison.Ordinal);
            if (OperatingSystem.IsLinux())
            {
                Assert.Contains("this one", message, StringComparison.Ordinal);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }
}
