using System.Text;
using Hypervisor.Cmdlets.Console;
using Hypervisor.Engine.Inventory;
using Hypervisor.Tests.Unit.Inventory;

namespace Hypervisor.Tests.Unit.Cmdlets;

public sealed class ConsoleStreamerTests : IDisposable
{
    private readonly TemporaryHost _temporary = new();

    public void Dispose() => _temporary.Dispose();

    [Fact]
    public async Task Everything_since_power_on_is_streamed_until_the_machine_is_off_for_everybody()
    {
        ConsoleSession session = Start(static machine => machine.Print("early\n"));
        FakeMachine fake = _temporary.Factory.Machines["a"];
        using var output = new MemoryStream();
        Task<bool> streaming = Task.Run(() => new ConsoleStreamer(session, output, passInput: false).Run(null, CancellationToken.None));
        fake.Print("late\n");
        fake.PowerOff();
        Assert.True(await streaming.WaitAsync(TimeSpan.FromMinutes(2)));
        Assert.Equal("early\nlate\n", Encoding.UTF8.GetString(output.ToArray()));
        Assert.Equal(PowerState.PoweredOff, _temporary.Host.FindMachines("a")[0].PowerState);
        Assert.Equal("powered off", session.Stop!.Message);
    }

    [Fact]
    public void A_machine_that_is_over_before_anybody_looks_still_shows_what_it_wrote()
    {
        ConsoleSession session = Start(static machine =>
        {
            machine.Print("short life\n");
            machine.Crash();
        });
        using var output = new MemoryStream();
        Assert.True(new ConsoleStreamer(session, output, passInput: false).Run(null, CancellationToken.None));
        Assert.Equal("short life\n", Encoding.UTF8.GetString(output.ToArray()));
    }

    [Fact]
    public void Time_runs_out_and_the_machine_goes_on()
    {
        ConsoleSession session = Start(static machine => machine.Print("on"));
        using var output = new MemoryStream();
        Assert.False(new ConsoleStreamer(session, output, passInput: false).Run(TimeSpan.FromMilliseconds(50), CancellationToken.None));
        Assert.Equal("on", Encoding.UTF8.GetString(output.ToArray()));
        Assert.Single(_temporary.Host.GetMachinesRunningHere());
    }

    private ConsoleSession Start(Action<FakeMachine> onStart)
    {
        _temporary.Factory.OnStart = onStart;
        VirtualMachine machine = _temporary.Create("a");
        _temporary.Host.PowerOn(machine).Wait();
        return _temporary.Host.FindConsole(machine.Id)!;
    }
}
