using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

// Changes of the inventory: create, reconfigure, remove.
public sealed partial class HypervisorHost
{
    /// <summary>A configuration to start from: a new identity, and one adapter on the NAT network.</summary>
    public VirtualMachineConfiguration NewConfiguration(string name, int memoryMB, int numCpu) => new()
    {
        Id = Guid.NewGuid(),
        Name = name,
        MemoryMB = memoryMB,
        NumCpu = numCpu,
        CreateDate = DateTimeOffset.UtcNow,
        NetworkAdapters = NewNetworkAdapters([MachineRules.NatNetwork], []),
    };

    /// <summary>Adapters for networks by name, with fresh addresses. <c>None</c> stands for no adapter; forwards go to the first.</summary>
    /// <exception cref="InvalidConfigurationException">Forwards without an adapter to carry them.</exception>
    public IReadOnlyList<NetworkAdapterConfiguration> NewNetworkAdapters(IEnumerable<string> networks, IReadOnlyList<PortForward> forwards)
    {
        var taken = _store.Read().Machines
            .SelectMany(static machine => machine.NetworkAdapters)
            .Select(static adapter => adapter.MacAddress)
            .ToHashSet(StringComparer.OrdinalIgnoreCase);
        var adapters = new List<NetworkAdapterConfiguration>();
        foreach (string network in networks.Where(static network => !string.Equals(network, "None", StringComparison.OrdinalIgnoreCase)))
        {
            string address = MacAddress.Create(taken);
            taken.Add(address);
            string known = string.Equals(network, MachineRules.NatNetwork, StringComparison.OrdinalIgnoreCase) ? MachineRules.NatNetwork : network;
            adapters.Add(new NetworkAdapterConfiguration { NetworkName = known, MacAddress = address, PortForwards = adapters.Count == 0 ? forwards : [] });
        }

        return adapters.Count == 0 && forwards.Count > 0
            ? throw new InvalidConfigurationException("A port forward needs a network adapter on the NAT network.")
            : adapters;
    }

    /// <summary>Adds a machine. The task's result is its <see cref="VirtualMachine"/>.</summary>
    public VITask Create(VirtualMachineConfiguration machine) =>
        Tasks.Run("CreateVM_Task", $"Create virtual machine {machine.Name}", machine.Id, machine.Name, (_, _) => Task.FromResult<object?>(CreateNow(machine)));

    /// <summary>Changes a machine. The task's result is the changed <see cref="VirtualMachine"/>.</summary>
    /// <param name="target">The machine, which must be off unless only its name, its notes, or what it and its disks may claim change.</param>
    /// <param name="change">Makes the new configuration of the one on disk.</param>
    public VITask Reconfigure(VirtualMachine target, Func<VirtualMachineConfiguration, VirtualMachineConfiguration> change) =>
        Tasks.Run("ReconfigVM_Task", $"Reconfigure virtual machine {target.Name}", target.Id, target.Name, (_, _) => Task.FromResult<object?>(ReconfigureNow(target, change)));

    /// <summary>Takes a machine, which must be off, out of the inventory.</summary>
    /// <param name="target">The machine.</param>
    /// <param name="deletePermanently">Also deletes the machine's own folder with the disks in it. Disks elsewhere always stay.</param>
    public VITask Remove(VirtualMachine target, bool deletePermanently) =>
        Tasks.Run("Destroy_Task", $"Remove virtual machine {target.Name}", target.Id, target.Name, (_, _) =>
        {
            RemoveNow(target, deletePermanently);
            return Task.FromResult<object?>(null);
        });

    private VirtualMachine CreateNow(VirtualMachineConfiguration machine)
    {
        machine = WithFullPaths(machine);
        MachineRules.Check(machine, Services.PhysicalMemoryMB);
        Machines.AdvancedSettings.Check(machine);
        MachineRules.CheckFiles(machine);
        _store.Edit(() =>
        {
            RefuseTakenName(machine);
            CheckResources(machine, null);
            _store.Write(machine);
            return machine;
        });
        Record("VmCreatedEvent", MachineEventSeverity.Info, machine, $"Created virtual machine {machine.Name} on {Environment.MachineName}");
        return FindMachine(machine.Id) ?? View(machine);
    }

    private VirtualMachine ReconfigureNow(VirtualMachine target, Func<VirtualMachineConfiguration, VirtualMachineConfiguration> change)
    {
        (VirtualMachineConfiguration before, VirtualMachineConfiguration after, List<int> disks) = _store.Edit(() =>
        {
            VirtualMachineConfiguration old = Get(target.Id, target.Name);
            VirtualMachineConfiguration changed = WithFullPaths(change(old));
            if (changed == old)
            {
                return (old, old, []);
            }

            bool sameDisks = HaveSameDisks(old, changed);
            bool onlyLabels = sameDisks && changed with { Name = old.Name, Notes = old.Notes, Resources = old.Resources, ResourcePoolId = old.ResourcePoolId, Disks = old.Disks } == old;
            using MachineHold? hold = onlyLabels ? null : HoldForChange(old, "be changed");
            MachineRules.Check(changed, Services.PhysicalMemoryMB);
            if (!ReferenceEquals(old.AdvancedSettings, changed.AdvancedSettings))
            {
                // What a file of an older version, or one written by hand, has is told at power-on and stops no other change.
                Machines.AdvancedSettings.Check(changed);
            }

            MachineRules.CheckFiles(changed);
            RefuseTakenName(changed);
            CheckResources(changed, old);
            List<int> claims = sameDisks ? DisksThatDiffer(old, changed) : [];
            CheckReservations(changed, claims);
            _store.Write(changed);
            return (old, changed, claims);
        });
        if (before != after)
        {
            ApplyResources(after);
            ApplyDiskIo(after, disks);
            if (disks.Count == 0 || before with { Disks = after.Disks } != after)
            {
                string renamed = before.Name == after.Name ? "" : $", renamed from {before.Name}";
                Record("VmReconfiguredEvent", MachineEventSeverity.Info, after, $"Reconfigured virtual machine {after.Name}{renamed}");
            }
        }

        return FindMachine(after.Id) ?? View(after);
    }

    private void RemoveNow(VirtualMachine target, bool deletePermanently)
    {
        VirtualMachineConfiguration machine = _store.Edit(() =>
        {
            VirtualMachineConfiguration present = Get(target.Id, target.Name);
            MachineHold hold = HoldForChange(present, "be removed");

            // The lock's file lies in the folder that goes: it is let go first, and the inventory's lock keeps others away meanwhile
            // (a power-on reads the configuration after it has taken the machine, and then finds none).
            hold.Dispose();
            _store.Delete(present.Id, deletePermanently);
            return present;
        });
        _consoles.TryRemove(machine.Id, out _);
        Record("VmRemovedEvent", MachineEventSeverity.Info, machine, $"Removed virtual machine {machine.Name} from {Environment.MachineName}");
    }

    private MachineHold HoldForChange(VirtualMachineConfiguration machine, string what) =>
        _running.ContainsKey(machine.Id)
            ? throw new MachineException($"'{machine.Name}' is powered on and cannot {what}. Power it off first (Stop-VM).")
            : Hold(machine);

    private void RefuseTakenName(VirtualMachineConfiguration machine)
    {
        if (_store.Read().Machines.Any(other => other.Id != machine.Id && string.Equals(other.Name, machine.Name, StringComparison.OrdinalIgnoreCase)))
        {
            throw new NameTakenException($"There is a machine named '{machine.Name}' already; names are unique without regard to case.");
        }
    }

    private static VirtualMachineConfiguration WithFullPaths(VirtualMachineConfiguration machine) => machine with
    {
        KernelPath = FullPath(machine.KernelPath),
        InitrdPath = FullPath(machine.InitrdPath),
        FirmwarePath = FullPath(machine.FirmwarePath),

        // A list of equal content stays the same object, so that two configurations compare equal when nothing was changed.
        Disks = machine.Disks.All(static disk => Path.IsPathFullyQualified(disk.Path))
            ? machine.Disks
            : [.. machine.Disks.Select(static disk => disk with { Path = Path.GetFullPath(disk.Path) })],
    };

    private static string? FullPath(string? path) => string.IsNullOrEmpty(path) ? null : Path.GetFullPath(path);
}
