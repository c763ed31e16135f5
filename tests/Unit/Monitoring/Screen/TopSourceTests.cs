using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Monitoring.Screen;
using Hypervisor.Tests.Unit.Inventory;

namespace Hypervisor.Tests.Unit.Monitoring.Screen;

public sealed class TopSourceTests : IDisposable
{
    private readonly TemporaryHost _temporary = new();

    public void Dispose() => _temporary.Dispose();

    [Fact]
    public void The_process_that_runs_a_machine_counts_it_and_others_say_who_does()
    {
        HypervisorHost other = _temporary.OpenAnother();
        foreach (string name in (string[])["web", "db"])
        {
            _temporary.Host.PowerOn(_temporary.Create(name, static machine => machine with { NumCpu = 2 })).Wait();
        }

        TopSnapshot here = Take(_temporary.Host), there = Take(other);
        Assert.Equal((2, 4), (here.Machines, here.Worlds));
        Assert.Empty(here.Elsewhere);
        Assert.Equal((0, 0), (there.Machines, there.Worlds));
        Assert.StartsWith($"db, web: in process {Environment.ProcessId} (", Assert.Single(there.Elsewhere), StringComparison.Ordinal);
        Assert.EndsWith("; the numbers are there.", there.Elsewhere[0], StringComparison.Ordinal);
        Assert.All(here.LoadAverages, static average => Assert.True(average >= 0));
    }

    [Fact]
    public void A_panel_has_numbers_from_its_second_snapshot_on_and_a_costly_one_only_while_it_is_looked_at()
    {
        IReadOnlyList<EsxTopPanel> panels = EsxTopPanels.Of(_temporary.Host);
        EsxTopPanel cpu = panels[0], power = panels.Single(static panel => panel.IsCostly);
        var source = new TopSource(_temporary.Host, panels);
        Assert.Empty(source.Take(cpu).Panels);
        Assert.Equal(panels.Where(static panel => !panel.IsCostly).Select(static panel => panel.Name), source.Take(power).Panels.Keys);
        Assert.Contains(power.Name, source.Take(power).Panels.Keys);
        Assert.DoesNotContain(power.Name, source.Take(cpu).Panels.Keys);
        Assert.DoesNotContain(power.Name, source.Take(power).Panels.Keys);
    }

    private static TopSnapshot Take(HypervisorHost host)
    {
        IReadOnlyList<EsxTopPanel> panels = EsxTopPanels.Of(host);
        return new TopSource(host, panels).Take(panels[0]);
    }
}
