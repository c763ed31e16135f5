using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Inventory;

// Resource pools, what machines get, and what the host may give. A change is checked, written, and then applied to what runs.
public sealed partial class HypervisorHost
{
    private static readonly TimeSpan WatchInterval = TimeSpan.FromSeconds(1);

    private readonly ResourceStore _resources;
    private readonly Timer _resourceWatch;
    private readonly Lock _applyLock = new();
    private readonly Dictionary<Guid, VirtualMachineConfiguration> _applied = [];
    private ResourceDocument? _appliedDocument;
    private Dictionary<(Guid Machine, int Index), (long Time, long Used)> _usageSeen = [];

    /// <summary>The host's own pool, and all pools in it, each after the one that it is in.</summary>
    public IReadOnlyList<ResourcePool> GetResourcePools()
    {
        ResourceDocument document = _resources.Read();
        return [new ResourcePool(this, null, null), .. document.Pools.Select(pool => new ResourcePool(this, pool, NameOfPool(pool.ParentId)))];
    }

    /// <summary>The host's own pool, which everything is in.</summary>
    public ResourcePool RootPool => new(this, null, null);

    /// <summary>Pools whose name matches a pattern with wildcards.</summary>
    public IReadOnlyList<ResourcePool> FindResourcePools(string pattern)
    {
        var wanted = new NamePattern(pattern);
        return [.. GetResourcePools().Where(pool => wanted.IsMatch(pool.Name))];
    }

    /// <summary>Adds a pool. The task's result is its <see cref="ResourcePool"/>.</summary>
    public VITask CreateResourcePool(ResourcePoolConfiguration pool) =>
        Tasks.Run("CreateResourcePool", $"Create resource pool {pool.Name}", null, pool.Name, (_, _) =>
        {
            EditResources(document => document with { Pools = [.. document.Pools, Checked(pool, document, null)] });
            Events.Append("ResourcePoolCreatedEvent", MachineEventSeverity.Info, $"Created resource pool {pool.Name}");
            return Task.FromResult<object?>(FindPool(pool.Id));
        });

    /// <summary>Changes a pool. The task's result is the changed <see cref="ResourcePool"/>.</summary>
    public VITask ReconfigureResourcePool(ResourcePool target, Func<ResourcePoolConfiguration, ResourcePoolConfiguration> change) =>
        Tasks.Run("UpdateConfig", $"Reconfigure resource pool {target.Name}", null, target.Name, (_, _) =>
        {
            Guid id = OwnPool(target, "changed");
            EditResources(document =>
            {
                ResourcePoolConfiguration old = document.Pools.FirstOrDefault(pool => pool.Id == id) ?? throw Gone(target);
                return document with { Pools = [.. document.Pools.Select(pool => pool.Id == id ? Checked(change(old), document, old) : pool)] };
            });
            Events.Append("ResourcePoolReconfiguredEvent", MachineEventSeverity.Info, $"Reconfigured resource pool {target.Name}");
            return Task.FromResult<object?>(FindPool(id));
        });

    /// <summary>Puts a pool, with all that is in it, into another one. The task's result is the moved <see cref="ResourcePool"/>.</summary>
    public VITask MoveResourcePool(ResourcePool target, ResourcePool destination) =>
        ReconfigureResourcePool(target, old => old with { ParentId = destination.Configuration?.Id });

    /// <summary>Removes a pool; what is in it goes to the pool above.</summary>
    public VITask RemoveResourcePool(ResourcePool target) =>
        Tasks.Run("Destroy_Task", $"Remove resource pool {target.Name}", null, target.Name, (_, _) =>
        {
            Guid id = OwnPool(target, "removed");
            EditResources(document =>
            {
                ResourcePoolConfiguration old = document.Pools.FirstOrDefault(pool => pool.Id == id) ?? throw Gone(target);
                foreach (VirtualMachineConfiguration machine in _store.Read().Machines.Where(machine => machine.ResourcePoolId == id))
                {
                    _store.Write(machine with { ResourcePoolId = old.ParentId });
                }

                return document with { Pools = [.. document.Pools.Where(pool => pool.Id != id).Select(pool => pool.ParentId == id ? pool with { ParentId = old.ParentId } : pool)] };
            });
            Events.Append("ResourcePoolDestroyedEvent", MachineEventSeverity.Info, $"Removed resource pool {target.Name}");
            return Task.FromResult<object?>(null);
        });

    /// <summary>Puts a machine, running or not, into a pool. The task's result is its <see cref="VirtualMachine"/>.</summary>
    public VITask Move(VirtualMachine target, ResourcePool destination) =>
        Tasks.Run("MoveIntoResourcePool", $"Move virtual machine {target.Name} into resource pool {destination.Name}", target.Id, target.Name, (_, _) =>
            Task.FromResult<object?>(ReconfigureNow(target, machine => machine with { ResourcePoolId = destination.Configuration?.Id })));

    /// <summary>Changes advanced settings of the host. The task's result is the <see cref="VMHost"/>.</summary>
    public VITask ReconfigureHost(Func<IReadOnlyDictionary<string, string>, IReadOnlyDictionary<string, string>> change) =>
        Tasks.Run("UpdateOptions", "Reconfigure the host", null, Environment.MachineName, (_, _) =>
        {
            EditResources(document => document with { Settings = change(document.Settings) });
            Events.Append("HostReconfiguredEvent", MachineEventSeverity.Info, "Reconfigured the host");
            return Task.FromResult<object?>(Describe());
        });

    private string NameOfPool(Guid? id) => _resources.Read().Pools.FirstOrDefault(pool => pool.Id == id)?.Name ?? ResourcePool.RootName;

    /// <summary>The pool that a machine is in; the host's own where the pool is gone.</summary>
    internal ResourcePool PoolOf(VirtualMachineConfiguration machine) =>
        _resources.Read().Pools.FirstOrDefault(pool => pool.Id == machine.ResourcePoolId) is { } pool ? new ResourcePool(this, pool, NameOfPool(pool.ParentId)) : RootPool;

    internal IReadOnlyDictionary<string, string> AdvancedSettings => _resources.Read().Settings;

    internal HostSettings Budget() => Settings(_resources.Read());

    private HostSettings Settings(ResourceDocument document) => HostSettings.Read(document.Settings, Services.Processors.Value, Services.PhysicalMemoryMB);

    /// <summary>Processor time that machines here used since this was last asked for (or since they were powered on), MHz: what the operating system counted, as in %USED and cpu.usagemhz.</summary>
    internal long CpuUsageMHz()
    {
        if (Services.Scheduler is not { } scheduler)
        {
            return 0;
        }

        lock (_applyLock)
        {
            double busy = 0;
            var seen = new Dictionary<(Guid, int), (long Time, long Used)>();
            foreach (WorldSample sample in scheduler.Sample())
            {
                (long time, long used) = _usageSeen.GetValueOrDefault((sample.MachineId, sample.Index), (sample.Time - sample.Age, 0));
                long passed = sample.Time - time;
                busy += passed > 0 ? (sample.Used - used) / (double)passed : 0;
                seen[(sample.MachineId, sample.Index)] = (sample.Time, sample.Used);
            }

            _usageSeen = seen;
            return (long)(busy * scheduler.Topology.ProcessorMHz);
        }
    }

    /// <summary>CPU and memory reservations of pools and of machines that are on.</summary>
    internal (Admission Cpu, Admission Memory) Admissions()
    {
        ResourceDocument document = _resources.Read();
        return Admissions(document, PoweredOnMachines());
    }

    private (Admission Cpu, Admission Memory) Admissions(ResourceDocument document, IReadOnlyList<VirtualMachineConfiguration> running)
    {
        HostSettings settings = Settings(document);
        var cpu = new Admission("CPU reservations", "MHz", settings.CapacityMHz);
        var memory = new Admission("memory reservations and overhead", "MB", settings.ReservableMemoryMB);
        foreach (ResourcePoolConfiguration pool in ResourceDocument.ParentsFirst(document.Pools))
        {
            cpu.AddPool(pool.Id, pool.ParentId, pool.Name, pool.CpuReservationMhz, pool.CpuExpandableReservation, pool.CpuLimitMhz);
            memory.AddPool(pool.Id, pool.ParentId, pool.Name, pool.MemReservationMB, pool.MemExpandableReservation, pool.MemLimitMB);
        }

        foreach (VirtualMachineConfiguration machine in running)
        {
            cpu.AddMachine(machine.ResourcePoolId, machine.Resources.CpuReservationMhz);
            memory.AddMachine(machine.ResourcePoolId, machine.Resources.MemReservationMB + MachineMemory.OverheadOf(machine));
        }

        return (cpu, memory);
    }

    private ResourcePool? FindPool(Guid id) => GetResourcePools().FirstOrDefault(pool => pool.Configuration?.Id == id);

    private static MachineException Gone(ResourcePool pool) => new($"The resource pool '{pool.Name}' does not exist any more.");

    private static Guid OwnPool(ResourcePool pool, string what) =>
        pool.Configuration?.Id ?? throw new InvalidConfigurationException($"'{ResourcePool.RootName}' is the host's own pool and cannot be {what}; Set-VMHost says what the host may give.");

    private static ResourcePoolConfiguration Checked(ResourcePoolConfiguration pool, ResourceDocument document, ResourcePoolConfiguration? old)
    {
        List<ResourcePoolConfiguration> all = [.. document.Pools.Where(other => other.Id != pool.Id), pool];
        if (pool.ParentId is { } parent && all.TrueForAll(other => other.Id != parent))
        {
            throw new InvalidConfigurationException($"The resource pool that '{pool.Name}' is to be in does not exist any more.");
        }

        if (old?.Name != pool.Name && document.Pools.Any(other => other.Id != pool.Id && string.Equals(other.Name, pool.Name, StringComparison.OrdinalIgnoreCase)))
        {
            throw new NameTakenException($"There is a resource pool named '{pool.Name}' already; names are unique without regard to case.");
        }

        ResourceRules.Check(pool, all);
        return pool;
    }

    private void EditResources(Func<ResourceDocument, ResourceDocument> change)
    {
        _store.Edit(() =>
        {
            ResourceDocument before = _resources.Read();
            VirtualMachineConfiguration[] on = PoweredOnMachines();
            ResourceDocument after = change(before);
            var present = on.Select(machine => _store.Find(machine.Id) ?? machine).ToArray();
            RefuseShortfall(Admissions(before, on), Admissions(after, present), static message => new InvalidConfigurationException(message));
            _resources.Write(after);
            return after;
        });
        FollowResources();
    }

    private VirtualMachineConfiguration[] PoweredOnMachines() => [.. _store.Read().Machines.Where(machine => View(machine).PowerState == PowerState.PoweredOn)];

    private void CheckResources(VirtualMachineConfiguration machine, VirtualMachineConfiguration? old)
    {
        bool asBefore = old is not null && old.Resources == machine.Resources && old.ResourcePoolId == machine.ResourcePoolId && old.NumCpu == machine.NumCpu && old.MemoryMB == machine.MemoryMB;
        if (asBefore)
        {
            return;
        }

        ResourceRules.Check(machine, Services.Processors.Value);
        if (machine.ResourcePoolId is { } pool && _resources.Read().Pools.All(known => known.Id != pool))
        {
            throw new InvalidConfigurationException($"The resource pool that '{machine.Name}' is to be in does not exist any more.");
        }

        if (old is not null && View(old).PowerState == PowerState.PoweredOn)
        {
            Admit(old, machine, static message => new InvalidConfigurationException(message));
        }
    }

    private void AdmitForPowerOn(VirtualMachineConfiguration machine)
    {
        Admit(null, machine, message => new MachineException($"'{machine.Name}' cannot be powered on. {message} Lower a reservation (Set-VMResource, Set-ResourcePool), or power another machine off."));
        CheckReservationsWithOthers(machine, Enumerable.Range(0, machine.Disks.Count));
        FollowResources();
    }

    private void Admit(VirtualMachineConfiguration? before, VirtualMachineConfiguration after, Func<string, Exception> refusal)
    {
        ResourceDocument document = _resources.Read();
        VirtualMachineConfiguration[] others = [.. PoweredOnMachines().Where(machine => machine.Id != after.Id)];
        RefuseShortfall(Admissions(document, before is null ? others : [.. others, before]), Admissions(document, [.. others, after]), refusal);
    }

    // What was short before the change, by a host that lost processors say, must not stop a change that does not make it worse.
    private static void RefuseShortfall((Admission Cpu, Admission Memory) before, (Admission Cpu, Admission Memory) after, Func<string, Exception> refusal)
    {
        RefuseShortfall(before.Cpu, after.Cpu, refusal);
        RefuseShortfall(before.Memory, after.Memory, refusal);
    }

    private static void RefuseShortfall(Admission before, Admission after, Func<string, Exception> refusal)
    {
        IReadOnlyList<Admission.Shortfall> known = before.Check();
        foreach (Admission.Shortfall shortfall in after.Check())
        {
            if (!known.Any(old => old.Pool == shortfall.Pool && old.Amount >= shortfall.Amount))
            {
                throw refusal(shortfall.Message);
            }
        }
    }

    private void ApplyResources(VirtualMachineConfiguration machine)
    {
        if (_running.ContainsKey(machine.Id))
        {
            Services.Scheduler?.Change(machine.Id, machine.Name, MachineResources.PlanOf(machine));
            FollowResources();
        }
    }

    private void WatchResources() => _resourceWatch.Change(WatchInterval, WatchInterval);

    // Brings the scheduler and whoever manages memory up to date with the folder, which other processes may have changed too.
    private void FollowResources()
    {
        try
        {
            lock (_applyLock)
            {
                ResourceDocument document = _resources.Read();
                HostSettings budget = Settings(document);
                FollowMemory(document, budget);
                if (!ReferenceEquals(document, _appliedDocument) && Services.Scheduler is { } scheduler)
                {
                    scheduler.SetBudget(budget.CpuCount, budget.IsLimited ? budget.CapacityMHz : CpuEntitlement.Unlimited);
                    scheduler.SetPools([.. document.Pools.Select(MachineResources.PlanOf)]);
                    _appliedDocument = document;
                    _applied.Clear();
                }

                foreach (Guid id in _running.Keys)
                {
                    if (_store.Find(id) is { } machine && !ReferenceEquals(_applied.GetValueOrDefault(id), machine))
                    {
                        Services.Scheduler?.Change(id, machine.Name, MachineResources.PlanOf(machine));
                        _applied[id] = machine;
                    }
                }

                if (_running.IsEmpty)
                {
                    _applied.Clear();
                    _resourceWatch.Change(Timeout.Infinite, Timeout.Infinite);
                    if (!_running.IsEmpty)
                    {
                        // One was powered on between the look and the stop.
                        WatchResources();
                    }
                }
            }
        }
        catch (Exception exception) when (exception is MachineException or InvalidConfigurationException or IOException or UnauthorizedAccessException or ObjectDisposedException)
        {
            // A file that somebody else broke, or a host that is being closed: what runs goes on as it was, and commands say what is wrong.
            System.Diagnostics.Trace.TraceWarning($"Resources of '{Folder.Root}' could not be followed: {exception.Message}");
        }
    }
}
