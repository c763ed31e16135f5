using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Tests.Unit.Inventory;

/// <summary>Pools, shares, reservations and limits in the inventory: what is kept, what is refused and how that reads.</summary>
public sealed class ResourceTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), "hv-test-" + Guid.NewGuid().ToString("N"));
    private readonly CpuScheduler _scheduler = new(HostTopology.Uniform(2, processorMHz: 2000));
    private readonly HypervisorHost _host;

    public ResourceTests() => _host = Open();

    public void Dispose()
    {
        _host.Dispose();
        _scheduler.Dispose();
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private HypervisorHost Open() => new(new HostFolder(_folder), new HostServices
    {
        CreateMachineFactory = static () => new FakeMachineFactory(),
        FindBackends = static () => [],
        PhysicalMemoryMB = 4096,
        Scheduler = _scheduler,
        Processors = new Lazy<HostTopology>(_scheduler.Topology),
    });

    private VirtualMachine Create(string name, int processors = 2) => (VirtualMachine)_host.Create(_host.NewConfiguration(name, 1024, processors)).Wait()!;

    private VirtualMachine Set(VirtualMachine machine, Func<ResourceSettings, ResourceSettings> change) =>
        (VirtualMachine)_host.Reconfigure(machine, old => old with { Resources = change(old.Resources) }).Wait()!;

    private ResourcePool Pool(string name, Func<ResourcePoolConfiguration, ResourcePoolConfiguration>? change = null)
    {
        var pool = new ResourcePoolConfiguration { Id = Guid.NewGuid(), Name = name };
        return (ResourcePool)_host.CreateResourcePool(change?.Invoke(pool) ?? pool).Wait()!;
    }

    private string Refusal(Action action) => Assert.Throws<InvalidConfigurationException>(action).Message;

    [Fact]
    public void Shares_have_ESX_numbers()
    {
        VirtualMachine machine = Create("m");
        Assert.Equal((2000, 10_240), (machine.VMResourceConfiguration.NumCpuShares, machine.VMResourceConfiguration.NumMemShares));
        machine = Set(machine, static old => old with { CpuSharesLevel = SharesLevel.High, MemSharesLevel = SharesLevel.Low });
        Assert.Equal((4000, 5120), (machine.VMResourceConfiguration.NumCpuShares, machine.VMResourceConfiguration.NumMemShares));
        machine = Set(machine, static old => old with { CpuSharesLevel = SharesLevel.Custom, NumCpuShares = 77 });
        Assert.Equal(77, machine.VMResourceConfiguration.NumCpuShares);
        Assert.Equal(-1, machine.VMResourceConfiguration.CpuLimitMhz);
        Assert.Equal((4000, 8000), (Pool("n").NumCpuShares, Pool("h", static p => p with { CpuSharesLevel = SharesLevel.High }).NumCpuShares));
    }

    [Fact]
    public void Settings_and_pools_survive_in_the_folder()
    {
        ResourcePool outer = Pool("outer", static p => p with { CpuReservationMhz = 1000, CpuLimitMhz = 3000 });
        ResourcePool inner = Pool("inner", p => p with { ParentId = outer.Configuration!.Id, MemSharesLevel = SharesLevel.Custom, NumMemShares = 5 });
        VirtualMachine machine = Set(Create("m"), static old => old with { CpuReservationMhz = 500, CpuLimitMhz = 1500, CpuAffinityList = [1], MemReservationMB = 100, LatencySensitivity = LatencySensitivity.High });
        _host.Move(machine, inner).Wait();

        using HypervisorHost other = Open();
        VirtualMachine read = other.FindMachine(machine.Id)!;
        Assert.Equal("inner", read.ResourcePool.Name);
        Assert.Equal((500, 1500, 100), (read.VMResourceConfiguration.CpuReservationMhz, read.VMResourceConfiguration.CpuLimitMhz, read.VMResourceConfiguration.MemReservationMB));
        Assert.Equal([1], read.VMResourceConfiguration.CpuAffinityList);
        Assert.Equal(LatencySensitivity.High, read.VMResourceConfiguration.LatencySensitivity);
        Assert.Equal(["Resources", "outer", "inner"], other.GetResourcePools().Select(static pool => pool.Name));
        Assert.Equal("outer", other.FindResourcePools("INNER").Single().Parent);
    }

    [Fact]
    public void Values_that_cannot_be_are_refused_with_the_numbers()
    {
        VirtualMachine machine = Create("m");
        Assert.Contains("500 MHz above its limit of 1000 MHz", Refusal(() => Set(machine, static old => old with { CpuReservationMhz = 1500, CpuLimitMhz = 1000 })), StringComparison.Ordinal);
        Assert.Contains("1 to 1000000", Refusal(() => Set(machine, static old => old with { CpuSharesLevel = SharesLevel.Custom, NumCpuShares = -5 })), StringComparison.Ordinal);
        Assert.Contains("-1 MHz", Refusal(() => Set(machine, static old => old with { CpuReservationMhz = -1 })), StringComparison.Ordinal);
        Assert.Contains("none (-1", Refusal(() => Set(machine, static old => old with { MemLimitMB = -7 })), StringComparison.Ordinal);
        Assert.Contains("1000 MHz more than its 2 virtual processors", Refusal(() => Set(machine, static old => old with { CpuReservationMhz = 5000 })), StringComparison.Ordinal);
        Assert.Contains("976 MB more than the machine has", Refusal(() => Set(machine, static old => old with { MemReservationMB = 2000 })), StringComparison.Ordinal);
        Assert.Contains("0 to 1", Refusal(() => Set(machine, static old => old with { CpuAffinityList = [0, 2] })), StringComparison.Ordinal);
        Assert.Equal(0, _host.FindMachine(machine.Id)!.VMResourceConfiguration.CpuReservationMhz);
    }

    [Fact]
    public void Pools_in_a_circle_with_taken_names_or_the_hosts_name_are_refused()
    {
        ResourcePool a = Pool("a"), b = Pool("b", p => p with { ParentId = a.Configuration!.Id });
        Assert.Contains("'a' in 'b' in 'a'", Refusal(() => _host.MoveResourcePool(a, b).Wait()), StringComparison.Ordinal);
        Assert.Contains("'a' in 'a'", Refusal(() => _host.MoveResourcePool(a, a).Wait()), StringComparison.Ordinal);
        Assert.Contains("cannot be changed", Refusal(() => _host.MoveResourcePool(_host.RootPool, b).Wait()), StringComparison.Ordinal);
        Assert.Throws<NameTakenException>(() => Pool("A"));
        Assert.Contains("own pool", Refusal(() => Pool("resources")), StringComparison.Ordinal);
        Assert.Contains("own pool", Refusal(() => _host.RemoveResourcePool(_host.GetResourcePools()[0]).Wait()), StringComparison.Ordinal);
    }

    [Fact]
    public void A_machine_whose_reservation_cannot_be_kept_is_not_powered_on_and_the_message_says_by_how_much()
    {
        VirtualMachine a = Set(Create("a"), static old => old with { CpuReservationMhz = 3000 });
        VirtualMachine b = Set(Create("b"), static old => old with { CpuReservationMhz = 1500 });
        _host.PowerOn(a).Wait();
        string message = Assert.Throws<MachineException>(() => _host.PowerOn(b).Wait()).Message;
        Assert.Contains("would come to 4500 MHz; it can promise 4000 MHz: 500 MHz too much", message, StringComparison.Ordinal);
        Assert.Equal(PowerState.PoweredOff, _host.FindMachine(b.Id)!.PowerState);
        Set(b, static old => old with { CpuReservationMhz = 1000 });
        _host.PowerOn(b).Wait();
        Assert.Contains("500 MHz too much", Refusal(() => Set(_host.FindMachine(b.Id)!, static old => old with { CpuReservationMhz = 1500 })), StringComparison.Ordinal);
        Assert.Equal((4000, 4000), (_host.Describe().CpuReservedMhz, _host.Describe().CpuTotalMhz));
    }

    [Fact]
    public void A_pool_keeps_what_it_has_reserved_and_borrows_only_when_it_may()
    {
        ResourcePool fixedPool = Pool("fixed", static p => p with { CpuReservationMhz = 1000, CpuExpandableReservation = false });
        VirtualMachine a = Set(Create("a"), static old => old with { CpuReservationMhz = 1200 });
        _host.Move(a, fixedPool).Wait();
        Assert.Contains("1000 MHz, which are not expandable: 200 MHz too much", Assert.Throws<MachineException>(() => _host.PowerOn(a).Wait()).Message, StringComparison.Ordinal);
        _host.ReconfigureResourcePool(fixedPool, static pool => pool with { CpuExpandableReservation = true }).Wait();
        _host.PowerOn(a).Wait();
        ResourcePool now = _host.FindResourcePools("fixed").Single();
        Assert.Equal((1200, 2800), (now.CpuReservationUsedMHz, now.CpuUnreservedMHz));
        Assert.Contains("200 MHz too much", Refusal(() => _host.ReconfigureResourcePool(now, static pool => pool with { CpuExpandableReservation = false }).Wait()), StringComparison.Ordinal);
        Assert.Contains("too much", Refusal(() => Pool("greedy", static p => p with { CpuReservationMhz = 2801 })), StringComparison.Ordinal);
        Assert.Contains("too much", Refusal(() => _host.ReconfigureResourcePool(now, static pool => pool with { CpuReservationMhz = 500, CpuLimitMhz = 1100 }).Wait()), StringComparison.Ordinal);
    }

    [Fact]
    public void A_budget_below_what_is_reserved_is_refused_and_one_above_counts()
    {
        Pool("gold", static p => p with { CpuReservationMhz = 2500 });
        VITask Budget(string name, string value) => _host.ReconfigureHost(old => new Dictionary<string, string>(old) { [name] = value });
        Assert.Contains("it can promise 2000 MHz: 500 MHz too much", Refusal(() => Budget("sched.cpuCount", "1").Wait()), StringComparison.Ordinal);
        Assert.Contains("500 MHz too much", Refusal(() => Budget("sched.powerCapInWatts", "20").Wait()), StringComparison.Ordinal);
        Assert.Contains("draw 10 W doing nothing", Refusal(() => Budget("sched.powerCapInWatts", "10").Wait()), StringComparison.Ordinal);
        Assert.Contains("has to be a whole number", Refusal(() => Budget("sched.cpuLimitMhz", "much").Wait()), StringComparison.Ordinal);
        Assert.Contains("there are sched.cpuCount", Refusal(() => Budget("sched.cpus", "1").Wait()), StringComparison.Ordinal);
        Budget("sched.powerCapInWatts", "25").Wait();
        Assert.Equal(3000, _host.Describe().CpuTotalMhz);
        Budget("sched.cpuLimitMhz", "2600").Wait();
        Assert.Equal(2600, _host.Describe().CpuTotalMhz);
    }

    [Fact]
    public void A_machine_that_runs_can_be_moved_and_given_other_shares_but_not_other_processors()
    {
        ResourcePool pool = Pool("pool");
        VirtualMachine machine = Create("m");
        _host.PowerOn(machine).Wait();
        Set(machine, static old => old with { CpuSharesLevel = SharesLevel.High });
        _host.Move(machine, pool).Wait();
        VirtualMachine now = _host.FindMachine(machine.Id)!;
        Assert.Equal(("pool", 4000), (now.ResourcePool.Name, now.VMResourceConfiguration.NumCpuShares));
        Assert.Throws<MachineException>(() => _host.Reconfigure(machine, static old => old with { NumCpu = 4 }).Wait());
        _host.RemoveResourcePool(pool).Wait();
        Assert.Equal("Resources", _host.FindMachine(machine.Id)!.ResourcePool.Name);
    }

    [Fact]
    public void A_pool_moves_with_what_runs_in_it_and_its_reservation_has_to_fit_where_it_goes()
    {
        ResourcePool small = Pool("small", static p => p with { CpuReservationMhz = 500, CpuExpandableReservation = false }), gold = Pool("gold", static p => p with { CpuReservationMhz = 1000 });
        VirtualMachine machine = Create("m");
        using MachineSchedule schedule = _scheduler.Add(machine.Id, "m", 2, MachinePlan.Default);
        _host.Move(machine, gold).Wait();
        _host.PowerOn(machine).Wait();
        Assert.Contains("500 MHz too much", Refusal(() => _host.MoveResourcePool(gold, small).Wait()), StringComparison.Ordinal);
        ResourcePool outer = Pool("outer");
        var moved = (ResourcePool)_host.MoveResourcePool(gold, outer).Wait()!;
        Assert.Equal(("gold", "outer"), (moved.Name, moved.Parent));
        Assert.Equal(["Resources", "small", "outer", "gold"], _host.GetResourcePools().Select(static pool => pool.Name));
        Assert.Equal(("gold", "outer"), (schedule.Machine.Parent!.Name, schedule.Machine.Parent.Parent!.Name));
        Assert.Equal("Resources", ((ResourcePool)_host.MoveResourcePool(gold, _host.RootPool).Wait()!).Parent);
        Assert.Null(schedule.Machine.Parent.Parent!.Parent);
    }

    [Fact]
    public void A_machines_pool_is_the_pool_and_equals_its_name()
    {
        ResourcePool pool = Pool("pool");
        VirtualMachine machine = Create("m");
        Assert.Equal(_host.RootPool, machine.ResourcePool);
        _host.Move(machine, pool).Wait();
        ResourcePool found = _host.FindMachine(machine.Id)!.ResourcePool;
        Assert.Equal(pool, found);
        Assert.True(found.Equals("POOL"));
        Assert.False(found.Equals("other"));
        Assert.NotEqual(found, _host.RootPool);
    }

    [Fact]
    public void Removing_a_pool_moves_what_is_in_it_up()
    {
        ResourcePool a = Pool("a"), b = Pool("b", p => p with { ParentId = a.Configuration!.Id });
        ResourcePool c = Pool("c", p => p with { ParentId = b.Configuration!.Id });
        VirtualMachine machine = Create("m");
        _host.Move(machine, b).Wait();
        _host.RemoveResourcePool(b).Wait();
        Assert.Equal("a", _host.FindResourcePools("c").Single().Parent);
        Assert.Equal("a", _host.FindMachine(machine.Id)!.ResourcePool.Name);
        Assert.Contains("does not exist any more", Refusal(() => _host.Move(machine, b).Wait()), StringComparison.Ordinal);
    }

    [Fact]
    public void A_resource_file_of_a_newer_version_is_refused_by_name()
    {
        Pool("a");
        string path = Path.Combine(_folder, "resources.json");
        File.WriteAllText(path, File.ReadAllText(path).Replace("\"schemaVersion\": 1", "\"schemaVersion\": 9", StringComparison.Ordinal));
        using HypervisorHost other = Open();
        Assert.Contains("schemaVersion 9", Assert.Throws<MachineException>(() => other.GetResourcePools()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void What_a_running_machine_gets_follows_what_another_process_wrote()
    {
        ResourcePool pool = Pool("pool");
        VirtualMachine machine = Create("m");
        Guid id = machine.Id;
        using MachineSchedule schedule = _scheduler.Add(id, "m", 2, MachinePlan.Default);
        _host.PowerOn(machine).Wait();
        using HypervisorHost other = Open();
        other.Move(other.FindMachine(id)!, other.FindResourcePools("pool").Single()).Wait();
        other.Reconfigure(other.FindMachine(id)!, static old => old with { Resources = old.Resources with { CpuLimitMhz = 300 } }).Wait();
        Assert.True(SpinWait.SpinUntil(() => schedule.Machine.Parent!.Name == pool.Name && schedule.Machine.Settings.LimitMHz == 300, TimeSpan.FromMinutes(2)));
    }
}
