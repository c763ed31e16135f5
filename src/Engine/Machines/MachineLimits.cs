using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Machines;

/// <summary>What a configuration may ask for on this host.</summary>
internal static class MachineLimits
{
    /// <summary>Most virtual processors of a machine.</summary>
    public const int MaxProcessors = 64;

    /// <summary>Least memory of a machine in MB.</summary>
    public const int MinMemoryMB = 4;

    private const long Megabyte = 1 << 20;

    /// <summary>Checks processors and memory against the limits and the host.</summary>
    /// <exception cref="MachineException">Too many or too few; the message has the numbers.</exception>
    public static void Check(VirtualMachineConfiguration configuration) =>
        Check(configuration, GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);

    /// <summary>As <see cref="Check(VirtualMachineConfiguration)"/>, on a host with the given memory in bytes.</summary>
    public static void Check(VirtualMachineConfiguration configuration, long hostBytes)
    {
        string name = configuration.Name;
        if (configuration.NumCpu is < 1 or > MaxProcessors)
        {
            throw new MachineException($"The virtual machine '{name}' has {configuration.NumCpu} virtual processors; 1 to {MaxProcessors} are possible. Change it with Set-VM -NumCpu.");
        }

        if (configuration.MemoryMB < MinMemoryMB)
        {
            throw new MachineException($"The virtual machine '{name}' has {configuration.MemoryMB} MB of memory; at least {MinMemoryMB} MB are needed. Change it with Set-VM -MemoryMB.");
        }

        if (configuration.MemoryMB > hostBytes / Megabyte)
        {
            throw new MachineException($"The virtual machine '{name}' wants {configuration.MemoryMB} MB of memory; this host has {hostBytes / Megabyte} MB. Change it with Set-VM -MemoryMB.");
        }
    }
}
