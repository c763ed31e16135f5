using System.Globalization;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Storage;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Machines;

/// <summary>Opens the disks of a machine.</summary>
internal static class DiskAttachments
{
    private const string RawFormat = "raw";

    /// <summary>Opens a disk of a machine and attaches it to its datastore.</summary>
    /// <exception cref="MachineException">It cannot be opened, or the datastore cannot promise what it reserves.</exception>
    public static (IDiskImage Image, DiskIo Io) Open(VirtualMachineConfiguration machine, int index, StorageIoControl storageIo)
    {
        HardDiskConfiguration disk = machine.Disks[index];
        IDiskImage image = Open(disk);
        try
        {
            return (image, storageIo.Attach(new DiskIdentity(machine.Id, machine.Name, index, image.Name), disk.IoControl ?? DiskIoSettings.Default));
        }
        catch (Exception error)
        {
            image.Dispose();
            if (error is InvalidConfigurationException)
            {
                throw new MachineException($"The disk '{disk.Path}' cannot be attached: {error.Message}", error);
            }

            throw;
        }
    }

    /// <summary>Opens a disk and locks it against other processes.</summary>
    /// <exception cref="MachineException">It is missing, in use, or of an unknown format; the message names the file and, where the host tells, who holds it.</exception>
    public static IDiskImage Open(HardDiskConfiguration disk)
    {
        if (!string.Equals(disk.Format, RawFormat, StringComparison.OrdinalIgnoreCase))
        {
            throw new MachineException($"The disk '{disk.Path}' has the format '{disk.Format}', which is not known here; convert it to raw.");
        }

        try
        {
            return RawDiskImage.Open(disk.Path, disk.ReadOnly);
        }
        catch (StorageException error)
        {
            string holder = FindHolder(disk.Path) is { } found ? $" It is held by process {found}." : "";
            throw new MachineException(error.Message + holder, error);
        }
    }

    /// <summary>The process that holds a lock on a file and has it open, as far as Linux lets this user see; null otherwise.</summary>
    private static string? FindHolder(string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return null;
        }

        string full = Path.GetFullPath(path);
        try
        {
            // proc(5), /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 00:2f:5678 0 EOF".
            foreach (string line in File.ReadLines("/proc/locks"))
            {
                string[] fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
                if (fields.Length > 4 && int.TryParse(fields[4], NumberStyles.None, CultureInfo.InvariantCulture, out int process) && HasOpen(process, full))
                {
                    string name = File.ReadAllText($"/proc/{process}/comm").Trim();
                    return process == Environment.ProcessId ? $"{process} (this one)" : $"{process} ({name})";
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The lock is a fact without its holder's name; a process may also have ended while it was being looked at.
            return null;
        }

        return null;
    }

    private static bool HasOpen(int process, string full)
    {
        try
        {
            return Directory.EnumerateFiles($"/proc/{process}/fd").Any(link => File.ResolveLinkTarget(link, returnFinalTarget: false)?.FullName == full);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
