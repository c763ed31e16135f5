using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Scheduling;
using Hypervisor.Tests.Guests.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Machines;

/// <summary>Machines that share one physical processor.</summary>
public sealed class SchedulingTests : IDisposable
{
    private readonly CpuScheduler _scheduler = new(HostTopology.Uniform(1));
    private readonly string _folder = Directory.CreateTempSubdirectory("scheduling").FullName;

    public void Dispose()
    {
        _scheduler.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void Spinning_machines_on_one_processor_all_run_and_can_be_reset_and_powered_off(BackendKind backend)
    {
        string kernel = Kernel("spin", static code =>
        {
            code.Print("ready");
            Label forever = code.CreateLabel();
            code.Label(ref forever);
            code.jmp(forever);
        });
        IMachine[] machines = [.. Enumerable.Range(0, 4).Select(i => Create(backend, $"m{i}", kernel))];
        try
        {
            Array.ForEach(machines, static machine => machine.Start());
            Array.ForEach(machines, static machine => WaitFor(machine, "ready"));
            Assert.True(SpinWait.SpinUntil(() => _scheduler.Sample().Where(static sample => sample.Index == 0).All(static sample => sample.Times.Preemptions > 3), TestGuest.Patience));
            machines[1].Reset();
            WaitFor(machines[1], "readyready");
            Assert.All(_scheduler.Sample(), static sample => Assert.Equal(sample.Age, sample.Times.Total));
            Array.ForEach(machines, static machine => machine.PowerOff());
            Assert.Empty(_scheduler.Sample());
        }
        finally
        {
            Array.ForEach(machines, static machine => machine.Dispose());
        }
    }

    [Theory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_halted_machine_leaves_the_processor_to_others(BackendKind backend)
    {
        using IMachine halted = Create(backend, "halted", Kernel("halt", static code =>
        {
            code.Print("ready");
            Label again = code.CreateLabel();
            code.Label(ref again);
            code.cli();
            code.hlt();
            code.jmp(again);
        }));
        halted.Start();
        WaitFor(halted, "ready");
        Assert.True(SpinWait.SpinUntil(() => _scheduler.Sample()[0].Times.Idle > 100_000_000, TestGuest.Patience));
    }

    private static void WaitFor(IMachine machine, string text) =>
        Assert.True(machine.Console.WaitForTextAsync(text, 0, TestGuest.Patience).GetAwaiter().GetResult(), $"{machine.Configuration.Name} printed: {TestGuest.ReadAll(machine.Console)}");

    private string Kernel(string name, Action<Assembler> body)
    {
        string path = Path.Combine(_folder, name);
        File.WriteAllBytes(path, GuestKernel.Assemble(body));
        return path;
    }

    private IMachine Create(BackendKind backend, string name, string kernel) => new MachineFactory(_scheduler).Create(new VirtualMachineConfiguration
    {
        Id = Guid.NewGuid(),
        Name = name,
        MemoryMB = 16,
        NumCpu = 2,
        KernelPath = kernel,
        Backend = backend,
    });
}
