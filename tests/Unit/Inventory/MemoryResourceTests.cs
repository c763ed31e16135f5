using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Tests.Unit.Inventory;

/// <summary>Memory of the host, its pools and machines in the inventory: what is promised, what is refused, and what whoever manages memory is told.</summary>
public sealed class MemoryResourceTests : IDisposable
{
    private const int PhysicalMB = 4096, DefaultBudgetMB = PhysicalMB - 512;
    private const long MB = 1 << 20;

    private readonly string _folder = Path.Combine(Path.GetTempPath(), "hv-test-" + Guid.NewGuid().ToString("N"));
    private readonly MemoryConfigurationSource _source = new();
    private readonly HypervisorHost _host;

    public MemoryResourceTests() => _host = Open(_source);

    public void Dispose()
    {
        _host.Dispose();
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private HypervisorHost Open(MemoryConfigurationSource source) => new(new HostFolder(_folder), new HostServices
    {
        CreateMachineFactory = static () => new FakeMachineFactory(),
        FindBackends = static () => [],
        PhysicalMemoryMB = PhysicalMB,
        Memory = source,
        Processors = new Lazy<HostTopology>(HostTopology.Uniform(2, processorMHz: 2000)),
    });

    private VirtualMachine Create(string name, int memoryMB = 1024, Func<ResourceSettings, ResourceSettings>? change = null, params (string Name, string Value)[] settings) =>
        (VirtualMachine)_host.Create(_host.NewConfiguration(name, memoryMB, 1) with
        {
            Resources = change?.Invoke(ResourceSettings.Default) ?? ResourceSettings.Default,
            AdvancedSettings = settings.ToDictionary(static setting => setting.Name, static setting => setting.Value),
        }).Wait()!;

    private void PowerOn(params VirtualMachine[] machines) => Array.ForEach(machines, machine => _host.PowerOn(machine).Wait());

    private VMHost Set(string name, object? value) => (VMHost)_host.ReconfigureHost(old =>
        new Dictionary<string, string>(old) { [name] = Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture)! }).Wait()!;

    private string Refusal(Action action) => Assert.Throws<InvalidConfigurationException>(action).Message;

    [Fact]
    public void The_budget_is_most_of_the_hosts_memory_unless_set()
    {
        Assert.Equal((PhysicalMB, DefaultBudgetMB), (_host.Describe().MemoryTotalMB, _host.Describe().MemoryBudgetMB));
        Assert.Equal(60 * 1024, HostSettings.DefaultMemoryBudgetMB(64 * 1024));
        Assert.Equal((2000, 1.953m), (Set("Mem.BudgetMB", 2000).MemoryBudgetMB, _host.Describe().MemoryBudgetGB));
        Assert.Contains("from 64 to 4096", Refusal(() => Set("Mem.BudgetMB", 4097)), StringComparison.Ordinal);
        Assert.Contains("from 64 to 4096", Refusal(() => Set("Mem.BudgetMB", 1)), StringComparison.Ordinal);
        Assert.Equal(DefaultBudgetMB, Set("Mem.BudgetMB", "").MemoryBudgetMB);
    }

    [Theory]
    [InlineData("Mem.IdleTax", "100", "from 0 to 99")]
    [InlineData("Mem.SamplePeriod", "-1", "from 0 to 180")]
    [InlineData("Mem.CtlMaxPercent", "76", "from 0 to 75")]
    [InlineData("Mem.ShareScanTime", "1441", "from 0 to 1440")]
    [InlineData("Mem.ShareScanGHz", "some", "from 0 to 32")]
    [InlineData("Mem.ShareForceSalting", "3", "from 0 to 2")]
    [InlineData("Mem.ShareKsm", "2", "from 0 to 1")]
    [InlineData("Mem.AllocGuestLargePage", "2", "from 0 to 1")]
    [InlineData("Mem.Idle", "3", "There is no advanced setting")]
    public void Settings_that_cannot_be_are_refused(string name, string value, string message) =>
        Assert.Contains(message, Refusal(() => Set(name, value)), StringComparison.Ordinal);

    [Theory]
    [InlineData("sched.mem.maxmemctl", "1E+12", "0 (no balloon) to 2147483647")]
    [InlineData("sched.mem.maxmemctl", "-2", "or -1 for what the host's Mem.CtlMaxPercent allows")]
    [InlineData("sched.mem.maxmemctl", "1.5", "whole number of MB")]
    [InlineData("balloon.reporting", "perhaps", "'true' or 'false'")]
    [InlineData("sched.mem.pshare.enable", "1", "'true' or 'false'")]
    [InlineData("processor.codeCacheMB", "1", "from 16 to 2048")]
    [InlineData("processor.model", "pentium", "'x86-64-v1'")]
    [InlineData("debugExit.port", "65536", "from 0 to 0xfffc")]
    [InlineData("sched.cpu.shares", "1000", "Set-VMResource")]
    public void Settings_of_a_machine_that_cannot_be_are_refused_when_they_are_set(string name, string value, string range)
    {
        VirtualMachine machine = Create("m");
        foreach (string refusal in new[]
        {
            Refusal(() => Create("n", settings: (name, value))),
            Refusal(() => _host.Reconfigure(machine, old => old with { AdvancedSettings = new Dictionary<string, string> { [name] = value } }).Wait()),
        })
        {
            Assert.Contains(name, refusal, StringComparison.Ordinal);
            Assert.Contains(range, refusal, StringComparison.Ordinal);
        }

        Assert.Empty(_host.FindMachines("n"));
        Assert.Empty(_host.FindMachines("m").Single().Configuration.AdvancedSettings);
    }

    [Theory]
    [InlineData("-1", 1024 * 65 / 100)]
    [InlineData("0", 0)]
    [InlineData("100", 100)]
    [InlineData("2147483647", 1024)]
    public void The_most_that_a_balloon_takes_can_be_set(string value, int megabytes)
    {
        VirtualMachine machine = Create("m", settings: ("sched.mem.maxmemctl", value));
        PowerOn(machine);
        Assert.Equal(megabytes, _source.Current.Machines[machine.Id].BalloonMaxBytes / MB);
    }

    [Fact]
    public void A_machine_is_powered_on_only_when_its_reservation_and_overhead_can_be_kept()
    {
        VirtualMachine a = Create("a", 2048, static old => old with { MemReservationMB = 2048 });
        VirtualMachine b = Create("b", 2048, static old => old with { MemReservationMB = 1400 });
        int overhead = MachineMemory.OverheadOf(a.Configuration);
        PowerOn(a);
        Assert.Equal(2048 + overhead, _host.Describe().MemoryReservedMB);

        // Of 3584 MB, 112 are to be free.
        long capacity = DefaultBudgetMB - 112, needed = 2048 + 1400 + (2 * overhead);
        Assert.Contains(
            $"The memory reservations and overhead in the host would come to {needed} MB; it can promise {capacity} MB: {needed - capacity} MB too much.",
            Assert.Throws<MachineException>(() => PowerOn(b)).Message, StringComparison.Ordinal);
        _host.Reconfigure(b, old => old with { Resources = old.Resources with { MemReservationMB = 1400 - (needed - capacity) } }).Wait();
        PowerOn(b);
        Assert.Equal(0, _host.GetResourcePools()[0].MemUnreservedMB);
    }

    [Fact]
    public void Overhead_alone_needs_room_too_and_a_pool_that_may_not_borrow_refuses_it()
    {
        var pool = new ResourcePoolConfiguration { Id = Guid.NewGuid(), Name = "fixed", MemReservationMB = 20, MemExpandableReservation = false };
        _host.CreateResourcePool(pool).Wait();
        VirtualMachine machine = Create("m");
        int lacking = MachineMemory.OverheadOf(machine.Configuration) - 20;
        _host.Move(machine, _host.FindResourcePools("fixed").Single()).Wait();
        Assert.Contains($"not expandable: {lacking} MB too much", Assert.Throws<MachineException>(() => PowerOn(machine)).Message, StringComparison.Ordinal);
        _host.Move(machine, _host.GetResourcePools()[0]).Wait();
        PowerOn(machine);
        Assert.Contains($"{lacking} MB too much", Refusal(() => _host.Move(machine, _host.FindResourcePools("fixed").Single()).Wait()), StringComparison.Ordinal);
    }

    [Fact]
    public void A_budget_smaller_than_what_is_reserved_is_refused_with_the_amount()
    {
        VirtualMachine machine = Create("m", 1024, static old => old with { MemReservationMB = 1000 });
        PowerOn(machine);
        int reserved = 1000 + MachineMemory.OverheadOf(machine.Configuration);
        Assert.Contains($"it can promise 969 MB: {reserved - 969} MB too much", Refusal(() => Set("Mem.BudgetMB", 1000)), StringComparison.Ordinal);
        Assert.Equal(1080, Set("Mem.BudgetMB", 1080).MemoryBudgetMB);
        Assert.Contains("MB too much", Refusal(() => _host.Reconfigure(machine, static old => old with { MemoryMB = 1024, Resources = old.Resources with { MemReservationMB = 1024 } }).Wait()), StringComparison.Ordinal);
    }

    [Fact]
    public void Whoever_manages_memory_is_told_of_machines_pools_and_settings_at_once()
    {
        var outer = new ResourcePoolConfiguration { Id = Guid.NewGuid(), Name = "outer", MemSharesLevel = SharesLevel.High, MemLimitMB = 900 };
        var inner = new ResourcePoolConfiguration { Id = Guid.NewGuid(), Name = "inner", ParentId = outer.Id, MemReservationMB = 100 };
        _host.CreateResourcePool(outer).Wait();
        _host.CreateResourcePool(inner).Wait();
        VirtualMachine machine = Create("m", 1024, static old => old with { MemReservationMB = 100 });
        int changes = 0;
        _source.Changed += () => Interlocked.Increment(ref changes);
        PowerOn(machine);
        MachineMemoryPlan plan = _source.Current.Machines[machine.Id];
        Assert.Equal((1024 * MB, 10_240, 100 * MB, MachineMemoryPlan.Unlimited, -1), (plan.MemoryBytes, plan.Shares, plan.ReservationBytes, plan.LimitBytes, plan.Pool));
        Assert.Equal((1024 * MB * 65 / 100, true, machine.Id.ToString("D")), (plan.BalloonMaxBytes, plan.IsSharingEnabled, plan.SharingDomain));
        Assert.Equal([new MemoryPoolPlan(-1, 327_680, 0, 900 * MB), new MemoryPoolPlan(0, 163_840, 100 * MB)], _source.Current.Pools);
        Assert.Equal((DefaultBudgetMB * MB, 4000), (_source.Current.BudgetBytes, _source.Current.ProcessorMHz));

        int before = changes;
        _host.Reconfigure(machine, static old => old with { Resources = old.Resources with { MemSharesLevel = SharesLevel.Custom, NumMemShares = 7, MemLimitMB = 600 } }).Wait();
        Assert.True(changes > before);
        Assert.Equal((7, 600 * MB), (_source.Current.Machines[machine.Id].Shares, _source.Current.Machines[machine.Id].LimitBytes));
        _host.Move(machine, _host.FindResourcePools("inner").Single()).Wait();
        Assert.Equal(1, _source.Current.Machines[machine.Id].Pool);
        Set("Mem.BudgetMB", 2048);
        Set("Mem.IdleTax", 50);
        Set("Mem.CtlMaxPercent", 25);
        Assert.Equal((2048 * MB, 50, 256 * MB), (_source.Current.BudgetBytes, _source.Current.Settings.IdleTaxPercent, _source.Current.Machines[machine.Id].BalloonMaxBytes));
        _host.RemoveResourcePool(_host.FindResourcePools("outer").Single()).Wait();
        Assert.Equal((0, 1), (_source.Current.Machines[machine.Id].Pool, _source.Current.Pools.Length));
    }

    [Fact]
    public void What_another_process_changes_is_told_too()
    {
        VirtualMachine machine = Create("m");
        PowerOn(machine);
        using HypervisorHost other = Open(new MemoryConfigurationSource());
        other.Reconfigure(other.FindMachine(machine.Id)!, static old => old with { Resources = old.Resources with { MemLimitMB = 300 } }).Wait();
        Assert.True(SpinWait.SpinUntil(() => _source.Current.Machines[machine.Id].LimitBytes == 300 * MB, TimeSpan.FromMinutes(2)));
    }

    [Fact]
    public void Machines_share_pages_as_salts_say()
    {
        VirtualMachine a = Create("a", 64, null, ("sched.mem.pshare.salt", "s"), ("sched.mem.maxmemctl", "16")), b = Create("b", 64, null, ("sched.mem.pshare.salt", "s")), c = Create("c", 64), d = Create("d", 64, null, ("sched.mem.pshare.enable", "FALSE"));
        PowerOn(a, b, c, d);
        string Domain(VirtualMachine machine) => _source.Current.Machines[machine.Id].SharingDomain;
        Assert.Equal((16 * MB, false), (_source.Current.Machines[a.Id].BalloonMaxBytes, _source.Current.Machines[d.Id].IsSharingEnabled));
        Assert.Equal(("s", "s"), (Domain(a), Domain(b)));
        Assert.Equal(3, new[] { a, c, d }.Select(Domain).Distinct().Count());
        Set("Mem.ShareForceSalting", 1);
        Assert.Equal(("s", "", ""), (Domain(a), Domain(c), Domain(d)));
        Set("Mem.ShareForceSalting", 0);
        Assert.All([a, b, c, d], machine => Assert.Equal("", Domain(machine)));
        Assert.True(_source.Current.Settings.ShareByKernel);
        Set("Mem.ShareKsm", 0);
        Assert.False(_source.Current.Settings.ShareByKernel);
    }

    [Theory]
    [InlineData("sched.mem.maxmemctl", "-2", "whole number of MB")]
    [InlineData("sched.mem.pshare.enable", "maybe", "'true' or 'false'")]
    [InlineData("balloon.reporting", "no", "'true' or 'false'")]
    public void Settings_of_a_machine_that_were_written_by_hand_are_refused_when_they_are_read(string name, string value, string message)
    {
        VirtualMachineConfiguration writtenByHand = Create("m", 64).Configuration with { AdvancedSettings = new Dictionary<string, string> { [name] = value } };
        Assert.Contains(message, Assert.Throws<MachineException>(() => MachineMemory.PlanOf(writtenByHand, MemoryConfiguration.None)).Message, StringComparison.Ordinal);
    }
}
