using Hypervisor.Engine.Monitoring.Counters;
using Hypervisor.Shell.Language;
using Hypervisor.Tests.Unit.Shell;

namespace Hypervisor.Tests.Unit.Cmdlets;

public sealed class EsxTopCommandTests : IDisposable
{
    private readonly ShellHost _shell = new();

    public void Dispose() => _shell.Dispose();

    [Theory]
    [InlineData("Get-EsxTop -Interactive", "needs a terminal")]
    [InlineData("Get-EsxTop -Interactive -Delay 0.2", "a screen's can be 0.5 to")]
    [InlineData("Get-EsxTop Coffee -Interactive", "There is no panel 'Coffee'")]
    public void What_no_screen_can_be_made_of_is_an_error_that_says_why(string line, string reason)
    {
        // Standard output is none when tests run; a screen would otherwise take the terminal of whoever runs them.
        if (InteractiveTopIsPossible && reason.Contains("terminal", StringComparison.Ordinal))
        {
            return;
        }

        Assert.Empty(_shell.Run(line));
        Assert.False(_shell.Succeeded);
        Assert.Contains(reason, string.Join('\n', _shell.Screen.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public void PowerCLIs_forms_list_counters_give_their_values_and_how_they_belong_together()
    {
        EsxTopCounter[] counters = [.. _shell.Run("Get-EsxTop -Counter").Cast<EsxTopCounter>()];
        Assert.Equal(["PCPU", "LCPU", "PMem", "SchedGroup", "VCPU", "MemClient", "SCSIDevice", "VSCSI", "NetPort"], counters.Select(static counter => counter.Name));
        Assert.All(counters, static counter => Assert.NotEmpty(counter.Fields));
        Assert.Equal(("NumOfLCPUs", "S32"), (counters[0].Fields[0].Name, counters[0].Fields[0].Type));
        Assert.Equal(["VCPU"], _shell.Run("Get-EsxTop -CounterName VC* -Counter").Select(static counter => counter.ToString()));
        Assert.True(Assert.IsType<PcpuCounter>(Assert.Single(_shell.Run("Get-EsxTop -CounterName pcpu, VSCSI"))).NumOfLCPUs > 0);
        EsxTopTopology[] topologies = [.. _shell.Run("Get-EsxTop -TopologyInfo -Topology PCPU, Sched*").Cast<EsxTopTopology>()];
        Assert.Equal(["PCPU", "SchedGroup"], topologies.Select(static topology => topology.Name));
        Assert.IsType<PcpuTopology>(Assert.Single(topologies[0].Entries));
        Assert.True(_shell.Succeeded);
    }

    [Theory]
    [InlineData("Get-EsxTop -CounterName Coffee", "no counter 'Coffee'; there are PCPU")]
    [InlineData("Get-EsxTop -TopologyInfo -Topology Coffee", "no topology 'Coffee'")]
    public void A_name_that_is_none_is_an_error_that_names_those_there_are(string line, string reason)
    {
        Assert.Empty(_shell.Run(line));
        Assert.False(_shell.Succeeded);
        Assert.Contains(reason, string.Join('\n', _shell.Screen.Lines), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Get-EsxTop Cpu -Counter")]
    [InlineData("Get-EsxTop -Counter -TopologyInfo")]
    [InlineData("Get-EsxTop -CounterName VCPU -Batch")]
    public void Forms_are_kept_apart(string line) => Assert.Throws<UsageException>(() => _shell.Run(line));

    private static bool InteractiveTopIsPossible => Hypervisor.Cmdlets.Console.InteractiveTop.IsPossible;
}
