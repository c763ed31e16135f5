using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>
/// The machine configurations of a host folder. Reading needs no lock, because files are replaced atomically; an edit holds the
/// inventory's lock and works on what is on disk, not on what was read earlier.
/// </summary>
internal sealed class MachineStore
{
    private static readonly TimeSpan EditPatience = TimeSpan.FromSeconds(10);

    // Time stamps of files move in steps of a few milliseconds: what was written this shortly before it was read might have been
    // written again without a visible change, so it is not yet believed ("racily clean", as git calls it).
    private static readonly TimeSpan TimestampGranularity = TimeSpan.FromMilliseconds(100);

    private readonly HostFolder _folder;
    private readonly Lock _lock = new();
    private readonly Dictionary<Guid, CachedMachine> _cache = [];

    public MachineStore(HostFolder folder) => _folder = folder;

    private sealed record CachedMachine(DateTime Written, long Length, bool Settled, VirtualMachineConfiguration? Machine, string? Problem);

    /// <summary>All machines by name, and a sentence for each configuration that cannot be read.</summary>
    public (IReadOnlyList<VirtualMachineConfiguration> Machines, IReadOnlyList<string> Problems) Read()
    {
        if (!Directory.Exists(_folder.Machines))
        {
            _folder.RefuseFile();
            return ([], []);
        }

        var machines = new List<VirtualMachineConfiguration>();
        var problems = new List<string>();
        lock (_lock)
        {
            foreach (string directory in Directory.EnumerateDirectories(_folder.Machines))
            {
                if (!Guid.TryParseExact(Path.GetFileName(directory), "D", out Guid id))
                {
                    continue;
                }

                CachedMachine? entry = Refresh(id);
                if (entry?.Machine is { } machine)
                {
                    machines.Add(machine);
                }
                else if (entry?.Problem is { } problem)
                {
                    problems.Add(problem);
                }
            }
        }

        machines.Sort(static (a, b) => string.Compare(a.Name, b.Name, StringComparison.OrdinalIgnoreCase));
        return (machines, problems);
    }

    /// <summary>One machine, or null if there is none with this id.</summary>
    /// <exception cref="MachineException">Its configuration cannot be read.</exception>
    public VirtualMachineConfiguration? Find(Guid id)
    {
        lock (_lock)
        {
            CachedMachine? entry = Refresh(id);
            return entry?.Problem is { } problem ? throw new MachineException(problem) : entry?.Machine;
        }
    }

    /// <summary>Runs an edit while no other process edits.</summary>
    /// <exception cref="MachineException">Another process has been editing for ten seconds.</exception>
    public T Edit<T>(Func<T> edit)
    {
        _folder.Create();
        using FileLock held = FileLock.TryTake(_folder.EditLock, EditPatience)
            ?? throw new MachineException($"Another process has been changing the inventory in '{_folder.Root}' for {EditPatience.TotalSeconds:0} seconds. Try again.");
        return edit();
    }

    /// <summary>Writes a machine; inside <see cref="Edit"/>.</summary>
    public void Write(VirtualMachineConfiguration machine)
    {
        string folder = _folder.OfMachine(machine.Id);
        bool isNew = !Directory.Exists(folder);
        HostFolder.CreatePrivate(folder);
        try
        {
            AtomicFile.Replace(_folder.ConfigurationOf(machine.Id), MachineDocument.Write(machine));
        }
        catch (Exception exception) when (isNew && exception is IOException or UnauthorizedAccessException)
        {
            // A full disk must not leave an empty folder behind for a machine that does not exist.
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    /// <summary>Forgets a machine; inside <see cref="Edit"/>. Files other than its own records stay unless <paramref name="everything"/>.</summary>
    public void Delete(Guid id, bool everything)
    {
        string folder = _folder.OfMachine(id);
        File.Delete(_folder.ConfigurationOf(id));
        File.Delete(_folder.ConfigurationOf(id) + AtomicFile.TemporarySuffix);
        if (everything)
        {
            Directory.Delete(folder, recursive: true);
        }
        else
        {
            File.Delete(_folder.HolderOf(id));
            File.Delete(_folder.LockOf(id));
            if (!Directory.EnumerateFileSystemEntries(folder).Any())
            {
                Directory.Delete(folder);
            }
        }
    }

    private CachedMachine? Refresh(Guid id)
    {
        var file = new FileInfo(_folder.ConfigurationOf(id));
        if (!file.Exists)
        {
            _cache.Remove(id);
            return null;
        }

        if (_cache.TryGetValue(id, out CachedMachine? known)
            && known.Settled && known.Written == file.LastWriteTimeUtc && known.Length == file.Length)
        {
            return known;
        }

        CachedMachine entry = Load(id, file);
        _cache[id] = entry;
        return entry;
    }

    private static CachedMachine Load(Guid id, FileInfo file)
    {
        bool settled = DateTime.UtcNow - file.LastWriteTimeUtc > TimestampGranularity;
        try
        {
            VirtualMachineConfiguration machine = MachineDocument.Read(File.ReadAllBytes(file.FullName), file.FullName);
            return machine.Id == id
                ? new CachedMachine(file.LastWriteTimeUtc, file.Length, settled, machine, null)
                : new CachedMachine(file.LastWriteTimeUtc, file.Length, settled, null, $"'{file.FullName}' describes the machine {machine.Id}; it was copied here by hand.");
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            // Removed by another process between the look and the read: simply no machine.
            return new CachedMachine(default, 0, false, null, null);
        }
        catch (Exception exception) when (exception is MachineException or IOException or UnauthorizedAccessException)
        {
            return new CachedMachine(file.LastWriteTimeUtc, file.Length, false, null, exception.Message);
        }
    }
}
