using Hypervisor.Engine.Inventory;
using Hypervisor.Tests.Unit.Shell;

namespace Hypervisor.Tests.Unit.Cmdlets;

/// <summary>Resource pools, and what machines get, as an administrator who knows PowerCLI writes it.</summary>
public sealed class ResourceCommandTests : IDisposable
{
    private readonly ShellHost _shell = new();

    public ResourceCommandTests() => _shell.Run("New-VM web; New-VM db");

    public void Dispose() => _shell.Dispose();

    [Fact]
    public void The_host_stands_for_its_own_pool()
    {
        Assert.Equal("Resources", Pool("Get-VMHost | New-ResourcePool -Name outer").Parent);
        Assert.Equal("outer", Pool("Get-ResourcePool outer | New-ResourcePool -Name inner").Parent);
        Assert.Equal(["outer"], Names(_shell.Run("Get-VMHost | Get-ResourcePool -NoRecursion")));
        Assert.Equal(["outer", "inner"], Names(_shell.Run("Get-ResourcePool -Location Resources")));
        Assert.Equal(["inner"], Names(_shell.Run("Get-ResourcePool -Location outer")));
        Assert.Equal(["db", "web"], Names(_shell.Run("Get-VMHost | Get-VM")));
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void Machines_are_found_by_their_pool()
    {
        _shell.Run("New-ResourcePool outer; New-ResourcePool inner -Location outer; Move-VM web inner; Get-ResourcePool outer | Move-VM -VM db");
        Assert.Equal(["db", "web"], Names(_shell.Run("Get-ResourcePool outer | Get-VM")));
        Assert.Equal(["db"], Names(_shell.Run("Get-VM -Location outer -NoRecursion")));
        Assert.Equal(["web"], Names(_shell.Run("Get-VM w* -Location outer")));
        Assert.Equal("inner", ((VirtualMachine)Assert.Single(_shell.Run("Get-VM web"))).ResourcePool.Name);
        Assert.Equal(["inner"], Names(_shell.Run("Get-VM web | Get-ResourcePool")));
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void Pools_move_and_not_into_themselves()
    {
        _shell.Run("New-ResourcePool a; New-ResourcePool b -Location a; New-ResourcePool c");
        Assert.Equal("c", Pool("Move-ResourcePool b -Destination c").Parent);
        Assert.Equal("Resources", Pool("Get-ResourcePool b | Move-ResourcePool -Destination Resources").Parent);
        _shell.Run("Move-ResourcePool a -Destination b -WhatIf");
        Assert.Equal("Resources", Pool("Get-ResourcePool a").Parent);
        Assert.Equal("b", Pool("Move-ResourcePool a b").Parent);
        Assert.True(_shell.Succeeded);
        Assert.Empty(_shell.Run("Move-ResourcePool b a"));
        Assert.Contains("'b' in 'a' in 'b'", _shell.Screen.Lines[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_host_is_found_once_by_what_is_on_it()
    {
        string name = Environment.MachineName;
        _shell.Run("New-ResourcePool p");
        foreach (string line in new[] { "Get-VM | Get-VMHost", "Get-ResourcePool | Get-VMHost", "Get-VMHost -VM web", $"Get-VMHost -Id HostSystem-{name}", "Get-VMHost -Name *" })
        {
            Assert.Equal(name, Assert.IsType<VMHost>(Assert.Single(_shell.Run(line))).Name);
        }

        Assert.Equal(512, ((VMHost)Assert.Single(_shell.Run("Get-VMHost | Set-VMHost -MemoryBudgetMB 512"))).MemoryBudgetMB);
        Assert.Equal(256, ((VMHost)Assert.Single(_shell.Run($"Set-VMHost {name} -MemoryBudgetMB 256"))).MemoryBudgetMB);
        Assert.True(_shell.Succeeded);
    }

    [Theory]
    [InlineData("Get-ResourcePool -Id nothing", "no resource pool with the identity 'nothing'")]
    [InlineData("Get-VM -Location nothing", "no resource pool named 'nothing'")]
    [InlineData("Get-VMHost -Id nothing", "no host 'nothing'")]
    [InlineData("Set-VMHost nothing -MemoryBudgetMB 512", "no host 'nothing'")]
    [InlineData("Set-VMResource web -MemReservationMB -1", "reservation is 0 MB or more")]
    [InlineData("Set-VMResource web -MemReservationGB -1", "reservation is 0 MB or more")]
    [InlineData("New-ResourcePool p -MemReservationMB -1", "reservation is 0 MB or more")]
    [InlineData("New-ResourcePool ' '", "A name has 1 to 80 characters")]
    [InlineData("Set-VMResource web -MemLimitGB 9999999999999999999999999999", "no computer has so much memory")]
    [InlineData("Set-VMResource web -CpuLimitMhz 9223372036854775807", "CPU reservations and limits go to 1099511627776 MHz")]
    [InlineData("New-ResourcePool p -MemReservationMB 9223372036854775807", "memory reservations and limits go to 1099511627776 MB")]
    [InlineData("Set-VMResource web -HtCoreSharing Internal", "keeps no core for one machine")]
    [InlineData("Set-VMResource web -CpuAffinity Processor0", "'Processor0' is no processor")]
    [InlineData("Set-VMResource web -CpuAffinity Cpu0 -CpuAffinityList 0", "not both")]
    public void What_cannot_be_is_an_error_that_says_why(string line, string reason)
    {
        Assert.Empty(_shell.Run(line));
        Assert.Contains(reason, Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void Processors_have_PowerCLI_s_names_too()
    {
        Assert.Equal([0], Set("-CpuAffinity cpu0,Cpu0").CpuAffinityList);
        Assert.Empty(Set("-CpuAffinity NoAffinity").CpuAffinityList);
        Assert.Equal(HTCoreSharing.Any, Set("-HtCoreSharing Any").HTCoreSharing);
        Assert.Equal(-1, Set("-MemLimitGB -1").MemLimitMB);
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void EsxTop_says_where_the_numbers_of_other_processes_are()
    {
        using HypervisorHost other = _shell.Temporary.OpenAnother();
        other.PowerOn(other.FindMachines("web")[0]).Wait();
        Assert.Empty(_shell.Run("Get-EsxTop -Delay 0.1"));
        Assert.Contains($"web: in process {Environment.ProcessId}", Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
        Assert.True(_shell.Succeeded);
    }

    private ResourcePool Pool(string line) => Assert.IsType<ResourcePool>(Assert.Single(_shell.Run(line)));

    private VMResourceConfiguration Set(string parameters) => Assert.IsType<VMResourceConfiguration>(Assert.Single(_shell.Run($"Set-VMResource web {parameters}")));

    private static IEnumerable<string?> Names(IEnumerable<object> objects) => objects.Select(static one => one.ToString());
}
