namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// The datastore of a file: the host's file system that it is on, called by its mount point (<c>/</c>, <c>/srv</c>, <c>C:\</c>). Disks of one
/// file system share its device.
/// </summary>
public static class DatastoreName
{
    /// <summary>How names compare: as paths of the host do.</summary>
    public static StringComparer Comparer => Inventory.MachineRules.PathComparer;

    /// <summary>The datastore of a file, which need not exist.</summary>
    /// <param name="path">Path of the file.</param>
    public static string Of(string path) => Of(path, MountPoints());

    /// <summary>The datastores of many files, for which the file systems are listed once.</summary>
    /// <param name="path">Path of a file.</param>
    /// <param name="mountPoints">What <see cref="MountPoints"/> gave.</param>
    internal static string Of(string path, IEnumerable<string> mountPoints)
    {
        string real = Resolve(Path.GetFullPath(path));
        string best = Path.GetPathRoot(real)!;
        foreach (string root in mountPoints)
        {
            string inside = Path.EndsInDirectorySeparator(root) ? root : root + Path.DirectorySeparatorChar;
            if (root.Length > best.Length && real.StartsWith(inside, Comparer == StringComparer.Ordinal ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase))
            {
                best = root;
            }
        }

        return best;
    }

    /// <summary>The file systems of this host; none when they cannot be listed.</summary>
    internal static IReadOnlyList<string> MountPoints()
    {
        try
        {
            return [.. DriveInfo.GetDrives().Select(static drive => drive.Name)];
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The root alone is a poorer division, and no error for the disk.
            return [];
        }
    }

    // Links to folders lead to other file systems as links to the file do.
    private static string Resolve(string full)
    {
        try
        {
            string? folder = Path.GetDirectoryName(full);
            if (folder is null)
            {
                return full;
            }

            string path = Path.Combine(Resolve(folder), Path.GetFileName(full));
            FileSystemInfo entry = Directory.Exists(path) ? new DirectoryInfo(path) : new FileInfo(path);
            return entry.ResolveLinkTarget(returnFinalTarget: true)?.FullName ?? path;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // A folder that cannot be looked into, or links in a circle: the path itself is as good as it gets.
            return full;
        }
    }
}
