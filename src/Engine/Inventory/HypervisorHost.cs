using System.Collections.Concurrent;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Monitoring.Statistics;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Inventory;

/// <summary>
/// A host: the machines of a host folder, and those of them that run in this process. Everything that can be done to a machine
/// is a method here and returns a task. Thread-safe.
/// </summary>
/// <remarks>
/// Several processes may use one folder. Configurations can be read and changed by all of them; a machine that runs belongs to the
/// process that runs it, and the others are told which that is.
/// </remarks>
public sealed partial class HypervisorHost : IDisposable
{
    private static readonly ConcurrentDictionary<string, Lazy<HypervisorHost>> Opened = new(MachineRules.PathComparer);

    private readonly MachineStore _store;
    private readonly DatastoreSettingsStore _datastoreSettings;
    private readonly ConcurrentDictionary<Guid, RunningMachine> _running = new();
    private readonly ConcurrentDictionary<Guid, ConsoleSession> _consoles = new();
    private readonly Lazy<IMachineFactory> _factory;
    private readonly Lazy<IReadOnlyList<BackendFinding>> _backends;

    /// <summary>A host of its own, as another process would have it; <see cref="Open"/> is what programs use.</summary>
    public HypervisorHost(HostFolder folder, HostServices services)
    {
        Folder = folder;
        Services = services;
        _store = new MachineStore(folder);
        _factory = new Lazy<IMachineFactory>(services.CreateMachineFactory);
        _backends = new Lazy<IReadOnlyList<BackendFinding>>(services.FindBackends);
        Events = new EventLog(folder);
        _datastoreSettings = new DatastoreSettingsStore(folder);
        services.StorageIo.SettingsOf = _datastoreSettings.Find;
        _resources = new ResourceStore(folder);
        if (services.MemoryManager is { } memory)
        {
            memory.SwapPathOf = machine => folder.SwapFileOf(machine);
            memory.StateChanged = RecordMemoryState;
            memory.Neighbours = new MemoryNotes(folder.Memory, why => Events.Append(
                "HostMemoryNotSharedEvent", MachineEventSeverity.Warning, $"What machines of other processes take of the memory of {Environment.MachineName} is not known now ({why}). Each process divides the budget as if it were alone."));
        }

        if (services.Scheduler is { } scheduler)
        {
            scheduler.BindingRefused = (machine, why) => Events.Append(
                "VmAffinityNotAppliedEvent", MachineEventSeverity.Warning, $"The threads of {machine} could not be bound to {why}. They run on any processor of {Environment.MachineName}.");
        }

        _resourceWatch = new Timer(_ =>
        {
            FollowIoControl();
            FollowResources();
        });
        Statistics = new StatisticsService(folder, VMHost.IdOfThisComputer, services.Time, ReadCounters, (type, severity, message) => Events.Append(type, severity, message));
    }

    /// <summary>The folder that holds its state.</summary>
    public HostFolder Folder { get; }

    /// <summary>What it uses of the computer.</summary>
    public HostServices Services { get; }

    /// <summary>Tasks of this process.</summary>
    public TaskLog Tasks { get; } = new();

    /// <summary>Events of all processes.</summary>
    public EventLog Events { get; }

    /// <summary>What was found out about each backend.</summary>
    public IReadOnlyList<BackendFinding> Backends => _backends.Value;

    /// <summary>Hosts that this process has opened.</summary>
    public static IReadOnlyList<HypervisorHost> OpenHosts => [.. Opened.Values.Where(static lazy => lazy.IsValueCreated).Select(static lazy => lazy.Value)];

    /// <summary>The host of a folder: the same object for the same folder throughout the process.</summary>
    /// <param name="path">Folder; null takes <c>HYPERVISOR_HOME</c> or the user's data folder.</param>
    public static HypervisorHost Open(string? path = null)
    {
        HostFolder folder = HostFolder.Resolve(path);
        return Opened.GetOrAdd(folder.Root, _ => new Lazy<HypervisorHost>(() => new HypervisorHost(folder, HostServicesOfThisComputer.Create()))).Value;
    }

    /// <summary>Makes <see cref="Open"/> give this host for its folder; for tests that run commands on machines of their own making.</summary>
    internal static void Use(HypervisorHost host) => Opened[host.Folder.Root] = new Lazy<HypervisorHost>(host);

    /// <summary>All machines by name.</summary>
    public IReadOnlyList<VirtualMachine> GetMachines() => [.. _store.Read().Machines.Select(View)];

    /// <summary>A sentence for each configuration in the folder that cannot be read.</summary>
    public IReadOnlyList<string> GetUnreadableMachines() => _store.Read().Problems;

    /// <summary>Machines whose name matches a pattern with wildcards.</summary>
    public IReadOnlyList<VirtualMachine> FindMachines(string pattern)
    {
        var wanted = new NamePattern(pattern);
        return [.. _store.Read().Machines.Where(machine => wanted.IsMatch(machine.Name)).Select(View)];
    }

    /// <summary>The machine as it is now, or null if it is gone.</summary>
    public VirtualMachine? FindMachine(Guid id) => _store.Find(id) is { } machine ? View(machine) : null;

    /// <summary>The computer and what it has.</summary>
    public VMHost Describe() => new(this);

    /// <summary>Machines that run in this process.</summary>
    public IReadOnlyList<VirtualMachine> GetMachinesRunningHere() => [.. _running.Keys.Select(FindMachine).OfType<VirtualMachine>()];

    /// <summary>The machine that runs in this process, or null.</summary>
    public IMachine? FindRunning(Guid id) => _running.TryGetValue(id, out RunningMachine? running) ? running.Machine : null;

    /// <summary>What runs in this process, by name.</summary>
    internal IReadOnlyList<IMachine> GetRunningHere() =>
        [.. _running.Values.Select(static running => running.Machine).OrderBy(static machine => machine.Configuration.Name, StringComparer.OrdinalIgnoreCase)];

    /// <summary>The console of a machine's present run, or of its last one in this process; null if it has not run here.</summary>
    public ConsoleSession? FindConsole(Guid id) => _consoles.GetValueOrDefault(id);

    /// <summary>Powers off at once whatever still runs.</summary>
    public void Dispose()
    {
        foreach (RunningMachine running in _running.Values)
        {
            running.Machine.PowerOff();
        }

        Task.WaitAll([.. _running.Values.Select(static running => running.Ended)]);
        Statistics.Dispose();
        Services.StorageIo.Dispose();
        _resourceWatch.Dispose();
        Services.MemoryManager?.Dispose();
    }

    internal IReadOnlyList<PortForward> PortForwardsOf(VirtualMachineConfiguration machine) =>
        FindRunning(machine.Id)?.PortForwards ?? [.. machine.NetworkAdapters.SelectMany(static adapter => adapter.PortForwards)];

    private VirtualMachine View(VirtualMachineConfiguration machine)
    {
        if (_running.TryGetValue(machine.Id, out RunningMachine? running))
        {
            return new VirtualMachine(this, machine, PowerState.PoweredOn, MachineHold.WhoHolds(Folder, machine.Id), running.Machine.Backend);
        }

        MachineHolder? holder = MachineHold.WhoHolds(Folder, machine.Id);
        return new VirtualMachine(this, machine, holder is null ? PowerState.PoweredOff : PowerState.PoweredOn, holder, null);
    }

    private VirtualMachineConfiguration Get(Guid id, string name) =>
        _store.Find(id) ?? throw new MachineException($"The machine '{name}' does not exist any more.");

    private void Record(string type, MachineEventSeverity severity, VirtualMachineConfiguration machine, string message) =>
        Events.Append(type, severity, message, machine.Id, machine.Name);
}
