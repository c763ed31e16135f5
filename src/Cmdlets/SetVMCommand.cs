using System.Collections;
using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Cmdlets;

/// <summary>Set-VM: changes machines. What is not given stays as it is.</summary>
/// <example>
/// <code>Set-VM web -MemoryGB 2 -NumCpu 4</code>
/// Changes the sizes of a machine that is powered off.
/// </example>
/// <example>
/// <code>Get-VM test* | Set-VM -AdvancedSetting @{ 'debugExit.port' = $null }</code>
/// Takes a setting away from several machines.
/// </example>
[Cmdlet(VerbsCommon.Set, "VM", SupportsShouldProcess = true)]
[OutputType(typeof(VirtualMachine), typeof(VITask))]
public sealed class SetVMCommand : HypervisorCmdlet
{
    /// <summary>Machines, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>New name.</summary>
    [Parameter]
    public string? Name { get; set; }

    /// <summary>Memory, MB.</summary>
    [Parameter]
    public long MemoryMB { get; set; }

    /// <summary>Memory, GB.</summary>
    [Parameter]
    public decimal MemoryGB { get; set; }

    /// <summary>Virtual processors.</summary>
    [Parameter]
    public int NumCpu { get; set; }

    /// <summary>Cores a virtual socket.</summary>
    [Parameter]
    public int CoresPerSocket { get; set; }

    /// <summary>Kernel to boot directly; empty takes it away.</summary>
    [Parameter]
    [AllowEmptyString]
    [AllowNull]
    [Alias("Kernel")]
    public string? KernelPath { get; set; }

    /// <summary>Initial RAM disk; empty takes it away.</summary>
    [Parameter]
    [AllowEmptyString]
    [AllowNull]
    public string? InitrdPath { get; set; }

    /// <summary>Command line for the kernel; empty takes it away.</summary>
    [Parameter]
    [AllowEmptyString]
    [AllowNull]
    public string? KernelCommandLine { get; set; }

    /// <summary>Firmware image; empty takes it away.</summary>
    [Parameter]
    [AllowEmptyString]
    [AllowNull]
    public string? FirmwarePath { get; set; }

    /// <summary>Raw disk images in place of those there are.</summary>
    [Parameter]
    [AllowEmptyCollection]
    [AllowNull]
    public string[]? DiskPath { get; set; }

    /// <summary>Networks for the adapters, in place of those there are; None for no adapter.</summary>
    [Parameter]
    [AllowEmptyCollection]
    [AllowNull]
    public string[]? NetworkName { get; set; }

    /// <summary>Forwards in place of those there are.</summary>
    [Parameter]
    [AllowEmptyCollection]
    [AllowNull]
    public string[]? PortForward { get; set; }

    /// <summary>What runs the machine.</summary>
    [Parameter]
    public BackendKind Backend { get; set; }

    /// <summary>Free text.</summary>
    [Parameter]
    [Alias("Description")]
    [AllowEmptyString]
    [AllowNull]
    public string? Notes { get; set; }

    /// <summary>Advanced settings to add or change; one with a null value goes.</summary>
    [Parameter]
    public Hashtable? AdvancedSetting { get; set; }

    /// <summary>Gives a task at once instead of the machine in the end.</summary>
    [Parameter]
    public SwitchParameter RunAsync { get; set; }

    private protected override void Process()
    {
        foreach (VirtualMachine machine in Resolve(VM))
        {
            if (MayChange(machine.Name, "Reconfigure virtual machine"))
            {
                Attempt(machine, () => Deliver(machine.Host!.Reconfigure(machine, old => Change(machine.Host, old)), IsOn(RunAsync)));
            }
        }
    }

    private VirtualMachineConfiguration Change(HypervisorHost host, VirtualMachineConfiguration old)
    {
        int? memory = MemorySize.InMB(IsBound(nameof(MemoryMB)) ? MemoryMB : null, IsBound(nameof(MemoryGB)) ? MemoryGB : null);
        int processors = IsBound(nameof(NumCpu)) ? NumCpu : old.NumCpu;
        return old with
        {
            Name = IsBound(nameof(Name)) ? Name ?? "" : old.Name,
            MemoryMB = memory ?? old.MemoryMB,
            NumCpu = processors,
            CoresPerSocket = IsBound(nameof(CoresPerSocket)) ? CoresPerSocket : processors % old.CoresPerSocket == 0 ? old.CoresPerSocket : 1,
            KernelPath = IsBound(nameof(KernelPath)) ? MachineSettings.FullPath(this, KernelPath) : old.KernelPath,
            InitrdPath = IsBound(nameof(InitrdPath)) ? MachineSettings.FullPath(this, InitrdPath) : old.InitrdPath,
            KernelCommandLine = IsBound(nameof(KernelCommandLine)) ? MachineSettings.NullIfEmpty(KernelCommandLine) : old.KernelCommandLine,
            FirmwarePath = IsBound(nameof(FirmwarePath)) ? MachineSettings.FullPath(this, FirmwarePath) : old.FirmwarePath,
            Disks = IsBound(nameof(DiskPath)) ? MachineSettings.Disks(this, DiskPath, old.Disks) : old.Disks,
            NetworkAdapters = Adapters(host, old),
            Backend = IsBound(nameof(Backend)) ? Backend : old.Backend,
            Notes = IsBound(nameof(Notes)) ? Notes ?? "" : old.Notes,
            AdvancedSettings = IsBound(nameof(AdvancedSetting)) ? MachineSettings.Merge(old.AdvancedSettings, AdvancedSetting) : old.AdvancedSettings,
        };
    }

    private IReadOnlyList<NetworkAdapterConfiguration> Adapters(HypervisorHost host, VirtualMachineConfiguration old)
    {
        bool networks = IsBound(nameof(NetworkName)), forwards = IsBound(nameof(PortForward));
        if (!networks && !forwards)
        {
            return old.NetworkAdapters;
        }

        IReadOnlyList<PortForward> wanted = forwards
            ? MachineSettings.Forwards(PortForward)
            : [.. old.NetworkAdapters.SelectMany(static adapter => adapter.PortForwards)];
        if (networks)
        {
            return host.NewNetworkAdapters(NetworkName ?? [], wanted);
        }

        return old.NetworkAdapters.Count == 0
            ? host.NewNetworkAdapters([], wanted)
            : [.. old.NetworkAdapters.Select((adapter, index) => adapter with { PortForwards = index == 0 ? wanted : [] })];
    }
}
