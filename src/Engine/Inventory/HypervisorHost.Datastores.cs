using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Monitoring.Statistics;
using Hypervisor.Engine.Native.Files;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Inventory;

// The file systems that machines keep their disks on.
public sealed partial class HypervisorHost
{
    /// <summary>The datastores that disks of the inventory and the host folder are on, and those that something was set for, by name.</summary>
    public IReadOnlyList<Datastore> GetDatastores()
    {
        IReadOnlyDictionary<string, DatastoreIoSettings> settings = _datastoreSettings.Read();
        IReadOnlyList<string> mountPoints = DatastoreName.MountPoints();
        Dictionary<string, HashSet<string>> disks = DisksByDatastore(mountPoints);
        return [.. DatastoreNames(settings, disks).Select(name =>
        {
            DriveInfo? drive = mountPoints.Contains(name, DatastoreName.Comparer) ? new DriveInfo(name) : null;
            return new Datastore(this, ControlOf(name, settings), FormatOf(drive), SpaceOf(drive, disks.GetValueOrDefault(name) ?? []));
        })];
    }

    /// <summary>The datastores that disks of a machine are on.</summary>
    public IReadOnlyList<Datastore> GetDatastores(VirtualMachine machine)
    {
        ArgumentNullException.ThrowIfNull(machine);
        HashSet<string> names = [.. Get(machine.Id, machine.Name).Disks.Select(static disk => DatastoreName.Of(disk.Path))];
        return [.. GetDatastores().Where(datastore => names.Contains(datastore.Name, DatastoreName.Comparer))];
    }

    // A file system that does not answer (a network's) would hold the sampler: only those are looked at that a machine waits for as well, and the host folder's.
    private IReadOnlyList<DatastoreReading> ReadDatastores()
    {
        try
        {
            IReadOnlyList<string> mountPoints = DatastoreName.MountPoints();
            Dictionary<string, HashSet<string>> disks = DisksByDatastore(mountPoints);
            var used = Services.StorageIo.Datastores.Where(static datastore => datastore.Disks.Count > 0).ToDictionary(static datastore => datastore.Name, DatastoreName.Comparer);
            return [.. used.Keys.Append(DatastoreName.Of(Folder.Root, mountPoints)).Distinct(DatastoreName.Comparer).Select(name => new DatastoreReading(
                name, Datastore.IdOf(name), used.GetValueOrDefault(name)?.QueueDepth, SpaceOf(new DriveInfo(name), disks.GetValueOrDefault(name) ?? [])))];
        }
        catch (Exception exception) when (exception is MachineException or IOException or UnauthorizedAccessException)
        {
            // As with the budget: commands say what is wrong with the files.
            return [];
        }
    }

    private IEnumerable<string> DatastoreNames(IReadOnlyDictionary<string, DatastoreIoSettings> settings, Dictionary<string, HashSet<string>> disks) =>
        disks.Keys.Concat(settings.Keys).Concat(Services.StorageIo.Datastores.Select(static datastore => datastore.Name))
            .Append(DatastoreName.Of(Folder.Root))
            .Distinct(DatastoreName.Comparer)
            .Order(DatastoreName.Comparer);

    private DatastoreIoControl ControlOf(string name, IReadOnlyDictionary<string, DatastoreIoSettings> settings) =>
        ControlOf(name, settings.GetValueOrDefault(name, DatastoreIoSettings.Default));

    private DatastoreIoControl ControlOf(string name, DatastoreIoSettings settings) =>
        new(name, settings, Services.StorageIo.Find(name), DisksElsewhere(name).Count());

    private Dictionary<string, HashSet<string>> DisksByDatastore(IReadOnlyList<string> mountPoints)
    {
        var found = new Dictionary<string, HashSet<string>>(DatastoreName.Comparer);
        foreach (string path in _store.Read().Machines.SelectMany(static machine => machine.Disks).Select(static disk => disk.Path))
        {
            string name = DatastoreName.Of(path, mountPoints);
            (found.TryGetValue(name, out HashSet<string>? files) ? files : found[name] = new(MachineRules.PathComparer)).Add(path);
        }

        return found;
    }

    private static string FormatOf(DriveInfo? drive)
    {
        try
        {
            return drive is { IsReady: true } ? drive.DriveFormat : "";
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It went away, or may not be looked at; it counts as not accessible.
            return "";
        }
    }

    private static DatastoreSpace? SpaceOf(DriveInfo? drive, IEnumerable<string> disks)
    {
        try
        {
            return drive is { IsReady: true }
                ? new DatastoreSpace(drive.TotalSize, drive.AvailableFreeSpace, drive.TotalSize - drive.TotalFreeSpace, disks.Sum(Uncommitted))
                : null;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    // What a sparse file may still grow within its length.
    private static long Uncommitted(string path)
    {
        var file = new FileInfo(path);
        return file.Exists ? Math.Max(0, file.Length - FileSpace.Allocated(path)) : 0;
    }
}
