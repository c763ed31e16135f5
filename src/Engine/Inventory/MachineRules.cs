namespace Hypervisor.Engine.Inventory;

/// <summary>What a configuration must obey. Every refusal names the value, the rule and, where there is one, the way out.</summary>
internal static class MachineRules
{
    /// <summary>Longest name, characters, as in vSphere.</summary>
    public const int MaxNameLength = 80;

    /// <summary>Least memory, MB.</summary>
    public const int MinMemoryMB = 4;

    /// <summary>Most virtual processors.</summary>
    public const int MaxNumCpu = 64;

    /// <summary>Most disks, and most network adapters: what the PCI bus of a machine has room for.</summary>
    public const int MaxDisks = 16, MaxNetworkAdapters = 8;

    private const int MaxNotesLength = 64 * 1024;
    private const int MaxCommandLineLength = 64 * 1024;

    /// <summary>Name of the user-mode network that every host has.</summary>
    public const string NatNetwork = "NAT";

    private static readonly char[] IllegalInNames = ['/', '\\', '%'];

    /// <summary>Checks what does not depend on the moment: the values themselves.</summary>
    /// <exception cref="InvalidConfigurationException">A rule is broken.</exception>
    public static void Check(VirtualMachineConfiguration machine, int physicalMemoryMB)
    {
        CheckName(machine.Name);
        if (machine.MemoryMB < MinMemoryMB)
        {
            throw new InvalidConfigurationException($"{machine.MemoryMB} MB of memory is too little: a machine has at least {MinMemoryMB} MB.");
        }

        if (machine.MemoryMB > physicalMemoryMB)
        {
            throw new InvalidConfigurationException($"{machine.MemoryMB} MB of memory is more than this host has ({physicalMemoryMB} MB).");
        }

        if (machine.NumCpu is < 1 or > MaxNumCpu)
        {
            throw new InvalidConfigurationException($"{machine.NumCpu} virtual processors: a machine has 1 to {MaxNumCpu}.");
        }

        if (machine.CoresPerSocket < 1 || machine.NumCpu % machine.CoresPerSocket != 0)
        {
            throw new InvalidConfigurationException($"{machine.CoresPerSocket} cores a socket do not divide {machine.NumCpu} virtual processors.");
        }

        if (machine.Notes.Length > MaxNotesLength)
        {
            throw new InvalidConfigurationException($"The notes have {machine.Notes.Length} characters; at most {MaxNotesLength} are kept.");
        }

        CheckBoot(machine);
        CheckDevices(machine);
    }

    /// <summary>Checks what the files of a machine are now; they may have changed since it was made.</summary>
    /// <exception cref="InvalidConfigurationException">A file is missing or is no file.</exception>
    public static void CheckFiles(VirtualMachineConfiguration machine)
    {
        CheckFile("kernel", machine.KernelPath);
        CheckFile("initial RAM disk", machine.InitrdPath);
        CheckFile("firmware", machine.FirmwarePath);
        foreach (HardDiskConfiguration disk in machine.Disks)
        {
            CheckFile("disk", disk.Path);
        }
    }

    /// <summary>Checks a name.</summary>
    /// <exception cref="InvalidConfigurationException">Not a legal name.</exception>
    public static void CheckName(string name)
    {
        if (string.IsNullOrWhiteSpace(name) || name.Length > MaxNameLength)
        {
            throw new InvalidConfigurationException($"A name has 1 to {MaxNameLength} characters; this one has {(string.IsNullOrWhiteSpace(name) ? "none but spaces" : name.Length)}.");
        }

        if (name != name.Trim())
        {
            throw new InvalidConfigurationException($"The name '{name}' begins or ends with a space.");
        }

        foreach (char character in name)
        {
            if (char.IsControl(character) || IllegalInNames.Contains(character) || char.IsSurrogate(character) && !IsWellFormed(name))
            {
                throw new InvalidConfigurationException($"The name '{Printable(name)}' has a character that names must not have: control characters, '/', '\\' and '%'.");
            }
        }

        if (name is "." or "..")
        {
            throw new InvalidConfigurationException($"'{name}' is not possible as a name.");
        }
    }

    private static bool IsWellFormed(string name) =>
        !System.Text.Encoding.UTF8.GetString(System.Text.Encoding.UTF8.GetBytes(name)).Contains('\uFFFD', StringComparison.Ordinal);

    private static string Printable(string name) => string.Concat(name.Select(static c => char.IsControl(c) || char.IsSurrogate(c) ? '?' : c));

    private static void CheckBoot(VirtualMachineConfiguration machine)
    {
        if (machine.KernelPath is null && (machine.InitrdPath is not null || machine.KernelCommandLine is not null))
        {
            throw new InvalidConfigurationException("An initial RAM disk or a kernel command line needs a kernel: give -KernelPath too.");
        }

        if (machine.KernelPath is not null && machine.FirmwarePath is not null)
        {
            throw new InvalidConfigurationException("A machine boots either a kernel (-KernelPath) or firmware (-FirmwarePath), not both.");
        }

        if (machine.KernelCommandLine is { } line && (line.Length > MaxCommandLineLength || line.Contains('\0', StringComparison.Ordinal)))
        {
            throw new InvalidConfigurationException($"The kernel command line is longer than {MaxCommandLineLength} characters or has a null character.");
        }
    }

    private static void CheckDevices(VirtualMachineConfiguration machine)
    {
        if (machine.Disks.Count > MaxDisks || machine.NetworkAdapters.Count > MaxNetworkAdapters)
        {
            throw new InvalidConfigurationException(
                $"{machine.Disks.Count} disks and {machine.NetworkAdapters.Count} network adapters: a machine has at most {MaxDisks} and {MaxNetworkAdapters}.");
        }

        var seen = new HashSet<string>(PathComparer);
        foreach (HardDiskConfiguration disk in machine.Disks)
        {
            if (!seen.Add(disk.Path))
            {
                throw new InvalidConfigurationException($"The disk '{disk.Path}' is attached twice.");
            }

            disk.IoControl?.Check($"The disk '{disk.Path}'");
            if (disk.Format != "raw")
            {
                throw new InvalidConfigurationException($"The disk '{disk.Path}' has the format '{disk.Format}'; this version reads raw disks.");
            }
        }

        foreach (NetworkAdapterConfiguration adapter in machine.NetworkAdapters)
        {
            if (!string.Equals(adapter.NetworkName, NatNetwork, StringComparison.OrdinalIgnoreCase))
            {
                throw new InvalidConfigurationException($"There is no network '{adapter.NetworkName}' on this host. It has: {NatNetwork}.");
            }
        }
    }

    /// <summary>How the host's file system compares paths.</summary>
    public static StringComparer PathComparer => OperatingSystem.IsWindows() || OperatingSystem.IsMacOS() ? StringComparer.OrdinalIgnoreCase : StringComparer.Ordinal;

    private static void CheckFile(string kind, string? path)
    {
        if (path is null || File.Exists(path))
        {
            return;
        }

        throw new InvalidConfigurationException(Directory.Exists(path)
            ? $"The {kind} '{path}' is a folder, not a file."
            : $"The {kind} '{path}' does not exist.");
    }
}
