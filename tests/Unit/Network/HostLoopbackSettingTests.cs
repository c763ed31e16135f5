using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Tests.Unit.Network;

public sealed class HostLoopbackSettingTests
{
    private static AdvancedSettings Read(params (string Name, string Value)[] settings) => AdvancedSettings.Read(new VirtualMachineConfiguration
    {
        Id = Guid.NewGuid(),
        Name = "vm",
        MemoryMB = 128,
        NumCpu = 1,
        AdvancedSettings = settings.ToDictionary(s => s.Name, s => s.Value),
    });

    [Fact]
    public void The_hosts_loopback_is_reached_unless_the_setting_denies_it()
    {
        Assert.True(Read().AllowHostLoopback);
        Assert.True(Read(("nat.hostLoopback", "allow")).AllowHostLoopback);
        Assert.False(Read(("nat.hostLoopback", "Deny")).AllowHostLoopback);
        Assert.Contains("nat.hostLoopback", Assert.Throws<MachineException>(() => Read(("nat.hostLoopback", "no"))).Message, StringComparison.Ordinal);
    }
}
