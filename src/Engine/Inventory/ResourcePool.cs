using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Inventory;

/// <summary>A resource pool as it was when it was asked for, with PowerCLI's property names.</summary>
public sealed class ResourcePool
{
    /// <summary>Name of the host's own pool, which everything is in.</summary>
    public const string RootName = "Resources";

    private const decimal MBPerGB = 1024m;

    private readonly string _name;
    private readonly Lazy<(Admission Cpu, Admission Memory)>? _admissions;

    internal ResourcePool(HypervisorHost host, ResourcePoolConfiguration? configuration, string? parent)
    {
        Host = host;
        Configuration = configuration;
        _name = configuration?.Name ?? RootName;
        Parent = configuration is null ? Environment.MachineName : parent ?? RootName;
        HostSettings budget = host.Budget();
        CpuTotalMhz = budget.CapacityMHz;
        MemTotalMB = budget.ReservableMemoryMB;
        _admissions = new Lazy<(Admission Cpu, Admission Memory)>(host.Admissions);
    }

    private ResourcePool(string name)
    {
        _name = name;
        Parent = "";
        IsReference = true;
    }

    /// <summary>Name.</summary>
    public string Name => _name;

    /// <summary>Identity.</summary>
    public string Id => IdOf(Configuration?.Id);

    /// <summary>Name of the pool (or of the host) that it is in.</summary>
    public string Parent { get; }

    /// <summary>Level of its CPU shares.</summary>
    public SharesLevel CpuSharesLevel => Configuration?.CpuSharesLevel ?? SharesLevel.Normal;

    /// <summary>CPU shares beside its siblings'.</summary>
    public int NumCpuShares => Shares.OfPoolCpu(CpuSharesLevel, Configuration?.NumCpuShares ?? 0);

    /// <summary>Reserved processor time, MHz; the host's budget for the host's own pool.</summary>
    public long CpuReservationMHz => Configuration?.CpuReservationMhz ?? CpuTotalMhz;

    /// <summary>What is in it may reserve more than that, out of the pool above.</summary>
    public bool CpuExpandableReservation => Configuration?.CpuExpandableReservation ?? false;

    /// <summary>Processor time it never gets more than, MHz; -1 without a limit.</summary>
    public long CpuLimitMHz => Configuration is null ? CpuTotalMhz : Configuration.CpuLimitMhz ?? -1;

    /// <summary>Level of its memory shares.</summary>
    public SharesLevel MemSharesLevel => Configuration?.MemSharesLevel ?? SharesLevel.Normal;

    /// <summary>Memory shares beside its siblings'.</summary>
    public int NumMemShares => Shares.OfPoolMemory(MemSharesLevel, Configuration?.NumMemShares ?? 0);

    /// <summary>Reserved memory, MB; what the host can promise for the host's own pool.</summary>
    public long MemReservationMB => Configuration?.MemReservationMB ?? MemTotalMB;

    /// <summary>Reserved memory, GB.</summary>
    public decimal MemReservationGB => Math.Round(MemReservationMB / MBPerGB, 3);

    /// <summary>What is in it may reserve more than that, out of the pool above.</summary>
    public bool MemExpandableReservation => Configuration?.MemExpandableReservation ?? false;

    /// <summary>Memory it never gets more than, MB; -1 without a limit.</summary>
    public long MemLimitMB => Configuration is null ? MemTotalMB : Configuration.MemLimitMB ?? -1;

    /// <summary>Memory it never gets more than, GB; -1 without a limit.</summary>
    public decimal MemLimitGB => MemLimitMB < 0 ? -1 : Math.Round(MemLimitMB / MBPerGB, 3);

    /// <summary>Processor time reserved by what is in it: pools, and machines that are on, MHz.</summary>
    public long CpuReservationUsedMHz => _admissions?.Value.Cpu.Used(Configuration?.Id) ?? 0;

    /// <summary>Processor time that can still be reserved in it, MHz.</summary>
    public long CpuUnreservedMHz => _admissions?.Value.Cpu.Unreserved(Configuration?.Id) ?? 0;

    /// <summary>Memory reserved by what is in it, overhead of machines that are on included, MB.</summary>
    public long MemReservationUsedMB => _admissions?.Value.Memory.Used(Configuration?.Id) ?? 0;

    /// <summary>Memory that can still be reserved in it, MB.</summary>
    public long MemUnreservedMB => _admissions?.Value.Memory.Unreserved(Configuration?.Id) ?? 0;

    internal ResourcePoolConfiguration? Configuration { get; }

    internal HypervisorHost? Host { get; }

    /// <summary>Only a name that a command was given in place of a pool.</summary>
    internal bool IsReference { get; }

    private long CpuTotalMhz { get; }

    private long MemTotalMB { get; }

    /// <summary>The identity of a pool; null for the host's own.</summary>
    internal static string IdOf(Guid? pool) => pool is { } id ? $"ResourcePool-{id:D}" : "ResourcePool-root";

    internal static ResourcePool Reference(string name) => new(name);

    /// <summary>The same pool; or the name of this one, without regard to case, as PowerShell's -eq and Where-Object compare with what stands at their right.</summary>
    public override bool Equals(object? obj) => obj switch
    {
        ResourcePool other => other.Id == Id && other.IsReference == IsReference && other.Host == Host,
        string name => string.Equals(name, Name, StringComparison.OrdinalIgnoreCase),
        _ => false,
    };

    /// <inheritdoc/>
    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(Id);

    /// <inheritdoc/>
    public override string ToString() => Name;
}
