using System.Globalization;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Inventory;

// Storage I/O control: what disks and datastores are set to. Changes act at once on what runs here, and within a second on what runs in
// other processes: each looks at the folder.
public sealed partial class HypervisorHost
{
    /// <summary>The disks of a machine and what they may claim of their datastores.</summary>
    public IReadOnlyList<DiskIoControl> GetDiskIoControl(VirtualMachine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        VirtualMachineConfiguration present = Get(machine.Id, machine.Name);
        return [.. present.Disks.Select((_, index) => new DiskIoControl(present, index, Services.StorageIo.Find(present.Id, index)))];
    }

    /// <summary>The datastores that disks of the inventory are on, and those that something was set for, by name.</summary>
    public IReadOnlyList<DatastoreIoControl> GetDatastoreIoControl()
    {
        IReadOnlyDictionary<string, DatastoreIoSettings> settings = _datastoreSettings.Read();
        return [.. DatastoreNames(settings, DisksByDatastore(DatastoreName.MountPoints())).Select(name => ControlOf(name, settings))];
    }

    /// <summary>
    /// Changes what disks of a machine may claim. A machine that runs follows at once. The task's result is an array of
    /// <see cref="DiskIoControl"/>, one for each disk asked for.
    /// </summary>
    /// <param name="target">The machine, on or off.</param>
    /// <param name="disks">
    /// Disks by name (<c>Hard disk 1</c>, or the number alone), by file name or by path, with wildcards; null for all. A name without
    /// wildcards that matches nothing fails the task.
    /// </param>
    /// <param name="change">Makes the new settings of the present ones.</param>
    public VITask ConfigureDiskIo(VirtualMachine target, IReadOnlyList<string>? disks, Func<DiskIoSettings, DiskIoSettings> change)
    {
        ArgumentNullException.ThrowIfNull(target);
        return Tasks.Run("ReconfigVM_Task", $"Reconfigure storage I/O control of {target.Name}", target.Id, target.Name, (_, _) =>
            Task.FromResult<object?>(ConfigureDiskIoNow(target, disks, change)));
    }

    /// <summary>
    /// Changes what a machine, on or off, and its disks may claim, all of it or nothing. Both act at once. The task's result is the changed
    /// <see cref="VirtualMachine"/>.
    /// </summary>
    /// <param name="target">The machine.</param>
    /// <param name="change">Makes the new settings of the machine of the present ones.</param>
    /// <param name="disks">Disks as in <see cref="ConfigureDiskIo"/>; null for all.</param>
    /// <param name="changeDisk">Makes the new settings of a disk of the present ones.</param>
    public VITask ConfigureResources(
        VirtualMachine target, Func<ResourceSettings, ResourceSettings> change, IReadOnlyList<string>? disks, Func<DiskIoSettings, DiskIoSettings> changeDisk) =>
        Reconfigure(target, old => WithDiskIo(old with { Resources = change(old.Resources) }, FindDisks(old, disks), changeDisk));

    /// <summary>Changes how a datastore is controlled, at once. The task's result is its <see cref="DatastoreIoControl"/>.</summary>
    /// <param name="datastore">A mount point of the host, or a path on its file system.</param>
    /// <param name="change">Makes the new settings of the present ones.</param>
    public VITask ConfigureDatastoreIo(string datastore, Func<DatastoreIoSettings, DatastoreIoSettings> change) =>
        Tasks.Run("ConfigureDatastoreIORM_Task", $"Configure storage I/O control of {datastore}", null, datastore, (_, _) =>
            Task.FromResult<object?>(ConfigureDatastoreIoNow(datastore, change)));

    private DiskIoControl[] ConfigureDiskIoNow(VirtualMachine target, IReadOnlyList<string>? disks, Func<DiskIoSettings, DiskIoSettings> change)
    {
        (VirtualMachineConfiguration machine, List<int> changed, int[] wanted) = _store.Edit(() =>
        {
            VirtualMachineConfiguration present = Get(target.Id, target.Name);
            int[] indexes = FindDisks(present, disks);
            VirtualMachineConfiguration now = WithDiskIo(present, indexes, change);
            List<int> different = DisksThatDiffer(present, now);
            CheckReservations(now, different);
            if (different.Count > 0)
            {
                _store.Write(now);
            }

            return (now, different, indexes);
        });
        ApplyDiskIo(machine, changed);
        return [.. wanted.Select(index => new DiskIoControl(machine, index, Services.StorageIo.Find(machine.Id, index)))];
    }

    // The same list of disks when nothing changes, so that the configurations compare equal.
    private static VirtualMachineConfiguration WithDiskIo(VirtualMachineConfiguration machine, int[] indexes, Func<DiskIoSettings, DiskIoSettings> change)
    {
        HardDiskConfiguration[] configured = [.. machine.Disks];
        foreach (int index in indexes)
        {
            DiskIoSettings before = configured[index].IoControl ?? DiskIoSettings.Default, after = change(before);
            after.Check($"{machine.Name}, {DiskIoControl.NameOf(index)}");
            if (after != before)
            {
                configured[index] = configured[index] with { IoControl = after == DiskIoSettings.Default ? null : after };
            }
        }

        return configured.SequenceEqual(machine.Disks) ? machine : machine with { Disks = configured };
    }

    /// <summary>Whether two configurations have the same disks, whatever these may claim.</summary>
    private static bool HaveSameDisks(VirtualMachineConfiguration one, VirtualMachineConfiguration other) =>
        one.Disks.Select(static disk => disk with { IoControl = null }).SequenceEqual(other.Disks.Select(static disk => disk with { IoControl = null }));

    private static List<int> DisksThatDiffer(VirtualMachineConfiguration before, VirtualMachineConfiguration after) =>
        [.. Enumerable.Range(0, after.Disks.Count).Where(index => before.Disks[index] != after.Disks[index])];

    private void ApplyDiskIo(VirtualMachineConfiguration machine, List<int> changed)
    {
        FollowIoControl();
        foreach (int index in changed)
        {
            Record("VmReconfiguredEvent", MachineEventSeverity.Info, machine,
                $"Reconfigured storage I/O control of {machine.Name}, {DiskIoControl.NameOf(index)}: {Describe(machine.Disks[index].IoControl ?? DiskIoSettings.Default)}");
        }
    }

    private DatastoreIoControl ConfigureDatastoreIoNow(string path, Func<DatastoreIoSettings, DatastoreIoSettings> change)
    {
        if (!Path.Exists(path))
        {
            throw new InvalidConfigurationException($"There is no datastore '{path}'. A datastore is a file system of this host, named by its mount point or a path on it; Get-IoControl lists those in use.");
        }

        string name = DatastoreName.Of(path);
        (DatastoreIoSettings before, DatastoreIoSettings after) = _store.Edit(() =>
        {
            DatastoreIoSettings old = _datastoreSettings.Find(name), changed = change(old);
            changed.Check($"The datastore '{name}'");
            long reserved = changed.LimitIops < 0 ? 0 : (Services.StorageIo.Find(name)?.ReservedIops ?? 0) + ReservedElsewhere(name, Guid.Empty);
            if (changed.LimitIops >= 0 && reserved > changed.LimitIops)
            {
                throw new InvalidConfigurationException(
                    $"The datastore '{name}': a limit of {changed.LimitIops} I/O operations a second is {reserved - changed.LimitIops} less than what running disks have reserved ({reserved}).");
            }

            if (changed != old)
            {
                _datastoreSettings.Write(name, changed);
            }

            return (old, changed);
        });
        FollowIoControl();
        if (before != after)
        {
            Events.Append("DatastoreIORMReconfiguredEvent", MachineEventSeverity.Info, $"Reconfigured storage I/O control on datastore {name}: {Describe(after)}");
        }

        return ControlOf(name, after);
    }

    /// <summary>Brings what runs here up to date with the folder, which other processes may have changed too.</summary>
    internal void FollowIoControl()
    {
        try
        {
            lock (_applyLock)
            {
                IReadOnlyList<DatastoreIo> datastores = Services.StorageIo.Datastores;
                if (datastores.Count == 0)
                {
                    return;
                }

                IReadOnlyDictionary<string, DatastoreIoSettings> settings = _datastoreSettings.Read();
                foreach (DatastoreIo datastore in datastores)
                {
                    DatastoreIoSettings wanted = settings.GetValueOrDefault(datastore.Name, DatastoreIoSettings.Default);
                    if (datastore.Settings != wanted)
                    {
                        datastore.Configure(wanted);
                    }

                    foreach (DiskIo disk in datastore.Disks)
                    {
                        Follow(disk);
                    }
                }
            }
        }
        catch (Exception exception) when (exception is MachineException or IOException or UnauthorizedAccessException)
        {
            // A file that somebody else broke: what runs goes on as it was, and commands say what is wrong.
            System.Diagnostics.Trace.TraceWarning($"Storage I/O control of '{Folder.Root}' could not be followed: {exception.Message}");
        }
    }

    private void Follow(DiskIo disk)
    {
        if (_store.Find(disk.Identity.MachineId) is { } machine && disk.Identity.Index < machine.Disks.Count)
        {
            DiskIoSettings wanted = machine.Disks[disk.Identity.Index].IoControl ?? DiskIoSettings.Default;
            if (disk.Settings != wanted)
            {
                disk.Configure(wanted);
            }
        }
    }

    // Only what runs can have its reservation met; a machine that is off is looked at when it is powered on.
    private void CheckReservations(VirtualMachineConfiguration machine, List<int> disks)
    {
        if (disks.Count == 0)
        {
            return;
        }

        // Together: each of two disks may have room for what both have not, or make the room that the other needs.
        foreach (IGrouping<DatastoreIo, DiskIo> changed in disks.Select(index => Services.StorageIo.Find(machine.Id, index)).OfType<DiskIo>().GroupBy(static disk => disk.Datastore))
        {
            changed.Key.CheckReservation([.. changed], changed.Sum(disk => machine.Disks[disk.Identity.Index].IoControl?.ReservationIops ?? 0), ReservedElsewhere(changed.Key.Name, machine.Id));
        }

        if (!_running.ContainsKey(machine.Id) && View(machine).PowerState == PowerState.PoweredOn)
        {
            // The process that runs it would find out too late.
            CheckReservationsWithOthers(machine, disks);
        }
    }

    // Of a machine whose disks are not attached here, with the disks of all processes.
    private void CheckReservationsWithOthers(VirtualMachineConfiguration machine, IEnumerable<int> disks)
    {
        IReadOnlyList<string> mountPoints = DatastoreName.MountPoints();
        foreach (string name in disks.Select(index => DatastoreName.Of(machine.Disks[index].Path, mountPoints)).Distinct(DatastoreName.Comparer))
        {
            long own = DisksOn(name, [machine], mountPoints).Sum(static disk => disk.IoControl?.ReservationIops ?? 0);
            if (own == 0)
            {
                continue;
            }

            long others = (Services.StorageIo.Find(name)?.ReservedIops ?? 0) + ReservedElsewhere(name, machine.Id);
            DatastoreIo.CheckReservation(name, _datastoreSettings.Find(name).LimitIops, own, others);
        }
    }

    private long ReservedElsewhere(string datastore, Guid except) =>
        DisksElsewhere(datastore, except).Sum(static disk => disk.IoControl?.ReservationIops ?? 0);

    // Disks of machines that other processes run.
    private IEnumerable<HardDiskConfiguration> DisksElsewhere(string datastore, Guid except = default) =>
        DisksOn(datastore, PoweredOnMachines().Where(machine => machine.Id != except && !_running.ContainsKey(machine.Id)), DatastoreName.MountPoints());

    private static IEnumerable<HardDiskConfiguration> DisksOn(string datastore, IEnumerable<VirtualMachineConfiguration> machines, IReadOnlyList<string> mountPoints) =>
        machines.SelectMany(static machine => machine.Disks).Where(disk => DatastoreName.Comparer.Equals(DatastoreName.Of(disk.Path, mountPoints), datastore));

    private static int[] FindDisks(VirtualMachineConfiguration machine, IReadOnlyList<string>? disks)
    {
        if (disks is null)
        {
            return machine.Disks.Count > 0 ? [.. Enumerable.Range(0, machine.Disks.Count)] : throw new InvalidConfigurationException($"'{machine.Name}' has no disk.");
        }

        var found = new SortedSet<int>();
        foreach (string name in disks)
        {
            int[] matching = [.. Enumerable.Range(0, machine.Disks.Count).Where(index => IsNamed(machine.Disks[index], index, name))];
            if (matching.Length == 0 && !NamePattern.ContainsWildcards(name))
            {
                string there = machine.Disks.Count == 0 ? "It has none." : $"It has: {string.Join(", ", machine.Disks.Select(static (disk, index) => $"{DiskIoControl.NameOf(index)} ({disk.Path})"))}.";
                throw new InvalidConfigurationException($"'{machine.Name}' has no disk '{name}'. {there}");
            }

            found.UnionWith(matching);
        }

        return [.. found];
    }

    private static bool IsNamed(HardDiskConfiguration disk, int index, string name)
    {
        if (int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
        {
            return number == index + 1;
        }

        var pattern = new NamePattern(name);
        return pattern.IsMatch(DiskIoControl.NameOf(index)) || pattern.IsMatch(Path.GetFileName(disk.Path)) || MachineRules.PathComparer.Equals(disk.Path, name) || pattern.IsMatch(disk.Path);
    }

    private static string Describe(DiskIoSettings settings)
    {
        string bandwidth = settings.LimitBytesPerSecond < 0 ? "" : string.Create(CultureInfo.InvariantCulture, $", {settings.LimitBytesPerSecond / 1048576.0:0.###} MB/s at most");
        return $"{settings.Shares} shares ({settings.SharesLevel}), {(settings.LimitIops < 0 ? "no limit" : $"{settings.LimitIops} IOPS at most")}{bandwidth}, {settings.ReservationIops} IOPS reserved";
    }

    private static string Describe(DatastoreIoSettings settings)
    {
        string threshold = settings.CongestionThresholdMode == CongestionThresholdMode.Manual
            ? $"congestion threshold {settings.CongestionThresholdMillisecond} ms"
            : $"congestion threshold at {settings.PercentOfPeakThroughput} percent of peak throughput";
        return $"{(settings.Enabled ? "enabled" : "disabled")}, {threshold}, queue depth {settings.QueueDepth}, {(settings.LimitIops < 0 ? "no limit" : $"{settings.LimitIops} IOPS at most")}";
    }
}
