using System.Collections;
using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Cmdlets;

/// <summary>New-VM: adds a machine to a host.</summary>
/// <example>
/// <code>New-VM web -MemoryGB 1 -NumCpu 2 -DiskPath ./web.raw -KernelPath ./vmlinuz -InitrdPath ./initrd.img -KernelCommandLine 'root=/dev/vda console=ttyS0'</code>
/// A machine that boots a Linux kernel and has a disk.
/// </example>
/// <example>
/// <code>New-VM test -KernelPath ./vmlinuz -InitrdPath ./initrd.img | Start-VM | Enter-VMConsole</code>
/// Makes a machine, powers it on and goes to its console.
/// </example>
/// <example>
/// <code>New-VM web -DiskPath ./web.raw -PortForward 2222:22, 8080:80</code>
/// Port 2222 of this computer leads to port 22 of the guest, and 8080 to 80.
/// </example>
[Cmdlet(VerbsCommon.New, "VM", SupportsShouldProcess = true)]
[OutputType(typeof(VirtualMachine), typeof(VITask))]
public sealed class NewVMCommand : HypervisorCmdlet
{
    private const int DefaultMemoryMB = 512;

    /// <summary>Name, unique on the host.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipelineByPropertyName = true)]
    public string Name { get; set; } = "";

    /// <summary>Memory, MB; 512 when not given.</summary>
    [Parameter]
    public long MemoryMB { get; set; }

    /// <summary>Memory, GB.</summary>
    [Parameter(ValueFromPipelineByPropertyName = true)]
    public decimal MemoryGB { get; set; }

    /// <summary>Virtual processors.</summary>
    [Parameter(ValueFromPipelineByPropertyName = true)]
    public int NumCpu { get; set; } = 1;

    /// <summary>Cores a virtual socket.</summary>
    [Parameter]
    public int CoresPerSocket { get; set; } = 1;

    /// <summary>Kernel to boot directly: Linux bzImage, PVH or Multiboot image.</summary>
    [Parameter]
    [Alias("Kernel")]
    public string? KernelPath { get; set; }

    /// <summary>Initial RAM disk for the kernel.</summary>
    [Parameter]
    public string? InitrdPath { get; set; }

    /// <summary>Command line for the kernel.</summary>
    [Parameter]
    public string? KernelCommandLine { get; set; }

    /// <summary>Firmware image to boot instead of a kernel.</summary>
    [Parameter]
    public string? FirmwarePath { get; set; }

    /// <summary>Raw disk images, in order.</summary>
    [Parameter]
    public string[]? DiskPath { get; set; }

    /// <summary>Networks for the adapters, in order; NAT when not given, None for no adapter.</summary>
    [Parameter]
    public string[]? NetworkName { get; set; }

    /// <summary>Ports of the host that lead into the guest: [tcp:|udp:][address:]hostPort:guestPort.</summary>
    [Parameter]
    public string[]? PortForward { get; set; }

    /// <summary>Resource pool that the machine is to be in, or its name; the host's own when not given.</summary>
    [Parameter]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    public ResourcePool? ResourcePool { get; set; }

    /// <summary>What runs the machine.</summary>
    [Parameter]
    public BackendKind Backend { get; set; }

    /// <summary>Free text.</summary>
    [Parameter(ValueFromPipelineByPropertyName = true)]
    [Alias("Description")]
    public string? Notes { get; set; }

    /// <summary>Advanced settings by name.</summary>
    [Parameter]
    public Hashtable? AdvancedSetting { get; set; }

    /// <summary>Gives a task at once instead of the machine in the end.</summary>
    [Parameter]
    public SwitchParameter RunAsync { get; set; }

    private protected override void Process()
    {
        ResourcePool? pool = null;
        if ((ResourcePool is not null && (pool = ResourcePools.ResolveOne(this, ResourcePool)) is null) || !MayChange(Name, "Create virtual machine"))
        {
            return;
        }

        Attempt(Name, () => Deliver(VIHost.Create(Configuration() with { ResourcePoolId = pool?.Configuration?.Id }), IsOn(RunAsync)));
    }

    private VirtualMachineConfiguration Configuration()
    {
        int memory = MemorySize.InMB(IsBound(nameof(MemoryMB)) ? MemoryMB : null, IsBound(nameof(MemoryGB)) ? MemoryGB : null) ?? DefaultMemoryMB;
        return VIHost.NewConfiguration(Name, memory, NumCpu) with
        {
            CoresPerSocket = CoresPerSocket,
            KernelPath = MachineSettings.FullPath(this, KernelPath),
            InitrdPath = MachineSettings.FullPath(this, InitrdPath),
            KernelCommandLine = MachineSettings.NullIfEmpty(KernelCommandLine),
            FirmwarePath = MachineSettings.FullPath(this, FirmwarePath),
            Disks = MachineSettings.Disks(this, DiskPath),
            NetworkAdapters = VIHost.NewNetworkAdapters(NetworkName ?? ["NAT"], MachineSettings.Forwards(PortForward)),
            Backend = Backend,
            Notes = Notes ?? "",
            AdvancedSettings = MachineSettings.Merge(new Dictionary<string, string>(), AdvancedSetting),
        };
    }
}
