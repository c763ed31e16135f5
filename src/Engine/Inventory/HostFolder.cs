using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>Where a host keeps its state, and the names of the files in it.</summary>
public sealed class HostFolder
{
    /// <summary>Environment variable that names the host folder.</summary>
    public const string EnvironmentVariable = "HYPERVISOR_HOME";

    private const string Remedy = $"Name another folder with -HostPath or {EnvironmentVariable}.";

    /// <summary>Names a folder; nothing is made yet.</summary>
    /// <param name="path">Any path; made absolute.</param>
    public HostFolder(string path) => Root = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));

    /// <summary>Absolute path of the folder.</summary>
    public string Root { get; }

    internal string Machines => Path.Combine(Root, "machines");

    internal string EditLock => Path.Combine(Root, "inventory.lock");

    internal string Resources => Path.Combine(Root, "resources.json");

    internal string Events => Path.Combine(Root, "events.jsonl");

    internal string DatastoreSettings => Path.Combine(Root, "datastores.json");

    internal string Statistics => Path.Combine(Root, "statistics.db");

    internal string StatisticsLock => Path.Combine(Root, "statistics.lock");

    internal string Memory => Path.Combine(Root, "memory");

    internal string EsxTopSettings => Path.Combine(Root, "esxtop.json");

    internal string OlderEvents => Path.Combine(Root, "events.1.jsonl");

    internal string EventsLock => Path.Combine(Root, "events.lock");

    /// <summary>Folder of one machine: its configuration, its lock, and disks that belong to it.</summary>
    public string OfMachine(Guid id) => Path.Combine(Machines, id.ToString("D"));

    internal string ConfigurationOf(Guid id) => Path.Combine(OfMachine(id), "machine.json");

    internal string SwapFileOf(Guid id) => Path.Combine(OfMachine(id), "memory.vswp");

    internal string LockOf(Guid id) => Path.Combine(OfMachine(id), "machine.lock");

    internal string HolderOf(Guid id) => Path.Combine(OfMachine(id), "holder.json");

    /// <summary>
    /// The folder to use: the path given, else <c>HYPERVISOR_HOME</c>, else <c>hypervisor</c> in the user's data folder
    /// (<c>XDG_DATA_HOME</c> or <c>~/.local/share</c>; <c>LocalApplicationData</c> on Windows).
    /// </summary>
    public static HostFolder Resolve(string? path = null)
    {
        if (string.IsNullOrWhiteSpace(path))
        {
            path = Environment.GetEnvironmentVariable(EnvironmentVariable);
        }

        return new HostFolder(string.IsNullOrWhiteSpace(path) ? Path.Combine(UserData(), "hypervisor") : path);
    }

    /// <summary>Makes the folder, readable by its owner alone: consoles and disks of machines are private.</summary>
    /// <exception cref="MachineException">It cannot be made.</exception>
    internal void Create()
    {
        if (Directory.Exists(Machines))
        {
            return;
        }

        RefuseFile();
        try
        {
            CreatePrivate(Root);
            CreatePrivate(Machines);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new MachineException($"The host folder '{Root}' cannot be made: {exception.Message} {Remedy}", exception);
        }
    }

    /// <summary>Refuses a path at which there is a file, and a folder that is somebody else's: it only looks as if it had no machines.</summary>
    /// <exception cref="MachineException">It is one of these.</exception>
    internal void RefuseFile()
    {
        if (File.Exists(Root))
        {
            throw new MachineException($"The host folder '{Root}' is a file. {Remedy}");
        }

        try
        {
            _ = File.GetAttributes(Machines);
        }
        catch (UnauthorizedAccessException exception)
        {
            throw new MachineException($"The host folder '{Root}' cannot be read: {exception.Message} {Remedy}", exception);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            // Not made yet.
        }
    }

    internal static void CreatePrivate(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }
    }

    private static string UserData()
    {
        if (OperatingSystem.IsWindows())
        {
            return Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData);
        }

        // XDG Base Directory specification: a relative value is invalid and to be ignored.
        string? xdg = Environment.GetEnvironmentVariable("XDG_DATA_HOME");
        return !string.IsNullOrEmpty(xdg) && Path.IsPathRooted(xdg)
            ? xdg
            : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".local", "share");
    }
}
