using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Inventory;

/// <summary>
/// A machine as it was when it was asked for, with PowerCLI's property names. It does not change; <c>Get-VM</c> gives a new one.
/// </summary>
public sealed class VirtualMachine
{
    private const decimal BytesPerGB = 1024m * 1024m * 1024m;

    private readonly Lazy<VirtualMachineDetail>? _detail;

    internal VirtualMachine(HypervisorHost host, VirtualMachineConfiguration configuration, PowerState state, MachineHolder? holder, BackendKind? runsOn)
    {
        Host = host;
        Configuration = configuration;
        PowerState = state;
        Holder = holder;
        _detail = new Lazy<VirtualMachineDetail>(() => new VirtualMachineDetail(configuration, state, runsOn, holder, host.Folder.OfMachine(configuration.Id)));
    }

    private VirtualMachine(string name)
    {
        IsReference = true;
        Configuration = new VirtualMachineConfiguration { Id = default, Name = name, MemoryMB = 0, NumCpu = 0 };
    }

    /// <summary>Display name.</summary>
    public string Name => Configuration.Name;

    /// <summary>Identity; survives renaming.</summary>
    public Guid Id => Configuration.Id;

    /// <summary>Power state when it was asked for.</summary>
    public PowerState PowerState { get; }

    /// <summary>Virtual processors.</summary>
    public int NumCpu => Configuration.NumCpu;

    /// <summary>Cores a virtual socket.</summary>
    public int CoresPerSocket => Configuration.CoresPerSocket;

    /// <summary>Memory, MB.</summary>
    public int MemoryMB => Configuration.MemoryMB;

    /// <summary>Memory, GB.</summary>
    public decimal MemoryGB => Configuration.MemoryMB / 1024m;

    /// <summary>Name of the host.</summary>
    public string VMHost => Environment.MachineName;

    /// <summary>Folder of the inventory.</summary>
    public string Folder => "vm";

    /// <summary>Resource pool, as it is when this is read; it equals its name too.</summary>
    public ResourcePool ResourcePool => Host?.PoolOf(Configuration) ?? ResourcePool.Reference(ResourcePool.RootName);

    /// <summary>Shares, reservations and limits.</summary>
    public VMResourceConfiguration VMResourceConfiguration => new(this);

    /// <summary>What is known of the guest.</summary>
    public VMGuest Guest => new(this);

    /// <summary>Kind of guest.</summary>
    public string GuestId => "otherLinux64Guest";

    /// <summary>Free text.</summary>
    public string Notes => Configuration.Notes;

    /// <summary>When it was made, local time.</summary>
    public DateTime CreateDate => Configuration.CreateDate.LocalDateTime;

    /// <summary>Size of its disks and its own folder as the guest may fill them, GB.</summary>
    public decimal ProvisionedSpaceGB => Math.Round(Detail.ProvisionedBytes / BytesPerGB, 3);

    /// <summary>What its disks and its own folder take on the host now, GB.</summary>
    public decimal UsedSpaceGB => Math.Round(Detail.UsedBytes / BytesPerGB, 3);

    /// <summary>Backend asked for.</summary>
    public BackendKind Backend => Configuration.Backend;

    /// <summary>Backend that runs it; null when it does not run in this process.</summary>
    public BackendKind? RunsOn => Detail.RunsOn;

    /// <summary>Process that runs it; null when it is off.</summary>
    public MachineHolder? Holder { get; }

    /// <summary>Disk files in order.</summary>
    public string[] DiskPath => [.. Configuration.Disks.Select(static disk => disk.Path)];

    /// <summary>Forwards of host ports, as written for <c>-PortForward</c>; a running machine shows the ports actually bound.</summary>
    public string[] PortForward => [.. Host!.PortForwardsOf(Configuration).Select(PortForwardSyntax.Format)];

    /// <summary>Everything else, found when first asked for.</summary>
    public VirtualMachineDetail ExtensionData => Detail;

    internal VirtualMachineConfiguration Configuration { get; }

    internal HypervisorHost? Host { get; }

    /// <summary>Only a name that a command was given in place of a machine; a command looks it up before it does anything.</summary>
    internal bool IsReference { get; }

    private VirtualMachineDetail Detail => _detail?.Value ?? throw new InvalidOperationException($"'{Name}' is only a name.");

    internal static VirtualMachine Reference(string name) => new(name);

    /// <inheritdoc/>
    public override string ToString() => Name;
}
