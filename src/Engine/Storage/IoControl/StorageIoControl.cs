namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>The datastores of a host that disks of this process are on, with their I/O. Thread-safe.</summary>
public sealed class StorageIoControl : IDisposable
{
    private readonly Lock _lock = new();
    private readonly Dictionary<string, DatastoreIo> _datastores = new(DatastoreName.Comparer);

    /// <summary>Where the settings of a datastore come from when it is first used, and again whenever a disk is attached.</summary>
    public Func<string, DatastoreIoSettings> SettingsOf { get; set; } = static _ => DatastoreIoSettings.Default;

    /// <summary>Datastores that disks were attached to.</summary>
    public IReadOnlyList<DatastoreIo> Datastores
    {
        get
        {
            lock (_lock)
            {
                return [.. _datastores.Values];
            }
        }
    }

    /// <summary>Attaches a disk to the datastore that its file is on.</summary>
    public DiskIo Attach(DiskIdentity identity, DiskIoSettings settings)
    {
        ArgumentNullException.ThrowIfNull(identity);
        string name = DatastoreName.Of(identity.Path);
        DatastoreIoSettings wanted = SettingsOf(name);
        lock (_lock)
        {
            if (!_datastores.TryGetValue(name, out DatastoreIo? datastore))
            {
                datastore = _datastores[name] = new DatastoreIo(name, wanted);
            }
            else if (datastore.Settings != wanted)
            {
                // Another process changed them.
                datastore.Configure(wanted);
            }

            return datastore.Attach(identity, settings);
        }
    }

    /// <summary>Ends the datastores, whose disks are all detached.</summary>
    public void Dispose()
    {
        IReadOnlyList<DatastoreIo> ended = Datastores;
        lock (_lock)
        {
            _datastores.Clear();
        }

        foreach (DatastoreIo datastore in ended)
        {
            datastore.Dispose();
        }
    }

    /// <summary>The datastore of a name, or null when no disk was attached to it.</summary>
    public DatastoreIo? Find(string datastore)
    {
        lock (_lock)
        {
            return _datastores.GetValueOrDefault(datastore);
        }
    }

    /// <summary>The disk of a running machine, or null.</summary>
    public DiskIo? Find(Guid machine, int disk) =>
        Datastores.SelectMany(static datastore => datastore.Disks).FirstOrDefault(attached => attached.Identity.MachineId == machine && attached.Identity.Index == disk);
}
