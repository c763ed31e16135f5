using System.Reflection;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Inventory;

/// <summary>The host: this computer, and the folder with its machines. A snapshot, with PowerCLI's property names.</summary>
public sealed class VMHost
{
    private readonly Lazy<BackendFinding[]> _backends;

    private VMHost(string name)
    {
        Name = name;
        IsReference = true;
        Path = "";
        AdvancedSettings = new Dictionary<string, string>();
        _backends = new Lazy<BackendFinding[]>([]);
    }

    internal VMHost(HypervisorHost host)
    {
        Host = host;
        Path = host.Folder.Root;
        MemoryTotalMB = host.Services.PhysicalMemoryMB;
        IReadOnlyList<VirtualMachine> machines = host.GetMachines();
        NumVM = machines.Count;
        NumVMPoweredOn = machines.Count(static machine => machine.PowerState == PowerState.PoweredOn);
        (CpuUsageMhz, MemoryUsageMB) = host.Usage(machines);
        HostSettings budget = host.Budget();
        NumCpuUsable = budget.CpuCount;
        CpuTotalMhz = budget.CapacityMHz;
        MemoryBudgetMB = budget.MemoryBudgetMB;
        NumaNodes = host.Services.Processors.Value.NodeCount;
        AdvancedSettings = host.AdvancedSettings.ToDictionary();
        (Admission cpu, Admission memory) = host.Admissions();
        CpuReservedMhz = cpu.Used(null);
        MemoryReservedMB = memory.Used(null);
        _backends = new Lazy<BackendFinding[]>(() => [.. host.Backends]);
    }

    /// <summary>Identity of the computer that this process is on.</summary>
    internal static string IdOfThisComputer => $"HostSystem-{Environment.MachineName}";

    /// <summary>Name of the computer.</summary>
    public string Name { get; } = Environment.MachineName;

    /// <summary>Identity, the same as the name: a host folder is always looked at from the computer that one is on.</summary>
    public string Id => IdOfThisComputer;

    /// <summary>Always <c>Connected</c>: the host is this process.</summary>
    public string ConnectionState => "Connected";

    /// <summary>Always <c>PoweredOn</c>.</summary>
    public PowerState PowerState => PowerState.PoweredOn;

    /// <summary>Host folder: configurations, disks, events.</summary>
    public string Path { get; }

    /// <summary>Processors of the computer that this process may use.</summary>
    public int NumCpu { get; } = Environment.ProcessorCount;

    /// <summary>Processors that machines may use: all, or as many as the setting <c>sched.cpuCount</c> says.</summary>
    public int NumCpuUsable { get; }

    /// <summary>Processor time that machines may use together, MHz: what the usable processors have, or less by a budget or a power cap.</summary>
    public long CpuTotalMhz { get; }

    /// <summary>Processor time that running machines use, MHz: those of this process since the host was last asked for, those of others in their last sample of 20 seconds.</summary>
    public long CpuUsageMhz { get; }

    /// <summary>Processor time reserved by pools and by machines that are on, MHz.</summary>
    public long CpuReservedMhz { get; }

    /// <summary>Memory reserved by pools and by machines that are on, their overhead included, MB.</summary>
    public long MemoryReservedMB { get; }

    /// <summary>Memory that machines may use together, their overhead included, MB: the setting <c>Mem.BudgetMB</c>, or all but an eighth (at most 4 GB) of the computer's.</summary>
    public int MemoryBudgetMB { get; }

    /// <summary><see cref="MemoryBudgetMB"/>, in GB.</summary>
    public decimal MemoryBudgetGB => Math.Round(MemoryBudgetMB / 1024m, 3);

    /// <summary>NUMA nodes.</summary>
    public int NumaNodes { get; }

    /// <summary>Advanced settings of the host; Set-VMHost changes them.</summary>
    public IReadOnlyDictionary<string, string> AdvancedSettings { get; }

    /// <summary>Memory, MB.</summary>
    public int MemoryTotalMB { get; }

    /// <summary>Memory, GB.</summary>
    public decimal MemoryTotalGB => Math.Round(MemoryTotalMB / 1024m, 3);

    /// <summary>Memory of the host that running machines take, MB; what another process has not told yet (a machine just powered on) counts in full.</summary>
    public long MemoryUsageMB { get; }

    /// <summary><see cref="MemoryUsageMB"/>, in GB.</summary>
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

    internal HypervisorHost? Host { get; }

    /// <summary>Only a name that a command was given in place of a host.</summary>
    internal bool IsReference { get; }

    internal static VMHost Reference(string name) => new(name);

    /// <inheritdoc/>
    public override string ToString() => Name;
}
