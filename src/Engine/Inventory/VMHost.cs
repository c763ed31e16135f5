using System.Reflection;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Inventory;

/// <summary>The host: this computer, and the folder with its machines. A snapshot, with PowerCLI's property names.</summary>
public sealed class VMHost
{
    private readonly Lazy<BackendFinding[]> _backends;

    internal VMHost(HypervisorHost host)
    {
        Path = host.Folder.Root;
        MemoryTotalMB = host.Services.PhysicalMemoryMB;
        IReadOnlyList<VirtualMachine> machines = host.GetMachines();
        NumVM = machines.Count;
        NumVMPoweredOn = machines.Count(static machine => machine.PowerState == PowerState.PoweredOn);
        MemoryUsageMB = machines.Where(static machine => machine.PowerState == PowerState.PoweredOn).Sum(static machine => (long)machine.MemoryMB);
        _backends = new Lazy<BackendFinding[]>(() => [.. host.Backends]);
    }

    /// <summary>Name of the computer.</summary>
    public string Name { get; } = Environment.MachineName;

    /// <summary>Identity, the same as the name: a host folder is always looked at from the computer that one is on.</summary>
    public string Id => $"HostSystem-{Name}";

    /// <summary>Always <c>Connected</c>: the host is this process.</summary>
    public string ConnectionState => "Connected";

    /// <summary>Always <c>PoweredOn</c>.</summary>
    public PowerState PowerState => PowerState.PoweredOn;

    /// <summary>Host folder: configurations, disks, events.</summary>
    public string Path { get; }

    /// <summary>Processors of the computer that this process may use.</summary>
    public int NumCpu { get; } = Environment.ProcessorCount;

    /// <summary>Memory, MB.</summary>
    public int MemoryTotalMB { get; }

    /// <summary>Memory, GB.</summary>
    public decimal MemoryTotalGB => Math.Round(MemoryTotalMB / 1024m, 3);

    /// <summary>Memory of the machines that run, MB.</summary>
    public long MemoryUsageMB { get; }

    /// <summary>Memory of the machines that run, GB.</summary>
    public decimal MemoryUsageGB => Math.Round(MemoryUsageMB / 1024m, 3);

    /// <summary>Machines in the inventory.</summary>
    public int NumVM { get; }

    /// <summary>Machines that run, in whatever process.</summary>
    public int NumVMPoweredOn { get; }

    /// <summary>Version of this product.</summary>
    public string Version { get; } = typeof(VMHost).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    /// <summary>Operating system.</summary>
    public string OperatingSystem => RuntimeInformation.OSDescription;

    /// <summary>Architecture of the processor.</summary>
    public string ProcessorType => RuntimeInformation.OSArchitecture.ToString();

    /// <summary>What was found out about each backend, by running code where that is possible.</summary>
    public BackendFinding[] Backends => _backends.Value;

    /// <summary>The backend that <c>Auto</c> takes.</summary>
    public BackendKind DefaultBackend => Backends.FirstOrDefault(static finding => finding.IsDefault)?.Backend ?? BackendKind.Software;

    /// <inheritdoc/>
    public override string ToString() => Name;
}
