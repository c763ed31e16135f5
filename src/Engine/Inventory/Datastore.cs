using Hypervisor.Engine.Monitoring.Statistics;

namespace Hypervisor.Engine.Inventory;

/// <summary>A datastore: a file system of the host that disks of machines are on, with PowerCLI's property names. A snapshot.</summary>
public sealed class Datastore
{
    private const decimal BytesPerMB = 1 << 20, MBPerGB = 1024;

    private readonly DatastoreSpace? _space;

    internal Datastore(HypervisorHost host, DatastoreIoControl control, string type, DatastoreSpace? space)
    {
        (Host, Name, Type, _space) = (host, control.Datastore, type, space);
        StorageIOControlEnabled = control.StorageIOControlEnabled;
        CongestionThresholdMillisecond = control.CongestionThresholdMillisecond;
    }

    /// <summary>Mount point of the file system: <c>/</c>, <c>/srv</c>, <c>C:\</c>.</summary>
    public string Name { get; }

    /// <summary>Identity.</summary>
    public string Id => IdOf(Name);

    /// <summary>Kind of file system, such as <c>ext4</c>, <c>nfs</c> or <c>NTFS</c>; empty when it is not mounted.</summary>
    public string Type { get; }

    /// <summary>Where it is on the host: the same as the name.</summary>
    public string Path => Name;

    /// <summary>It is mounted and answers.</summary>
    public bool Accessible => _space is not null;

    /// <summary><c>Available</c> or <c>Unavailable</c>.</summary>
    public string State => Accessible ? "Available" : "Unavailable";

    /// <summary>All there is, MB (2^20 bytes); 0 when it is not accessible.</summary>
    public decimal CapacityMB => InMB(_space?.Capacity ?? 0);

    /// <summary>All there is, GB.</summary>
    public decimal CapacityGB => InGB(CapacityMB);

    /// <summary>What this user may still take, MB.</summary>
    public decimal FreeSpaceMB => InMB(_space?.Free ?? 0);

    /// <summary>What this user may still take, GB.</summary>
    public decimal FreeSpaceGB => InGB(FreeSpaceMB);

    /// <summary>What is in use and what disks of machines may still take by being written to, MB; it can be more than there is.</summary>
    public decimal ProvisionedMB => InMB(_space is { } space ? space.Used + space.Uncommitted : 0);

    /// <summary>What is in use and what disks of machines may still take by being written to, GB.</summary>
    public decimal ProvisionedGB => InGB(ProvisionedMB);

    /// <summary>The device's latency governs how many requests it is given at once (<c>Set-IoControl</c>).</summary>
    public bool StorageIOControlEnabled { get; }

    /// <summary>Latency above which it counts as congested, milliseconds.</summary>
    public double CongestionThresholdMillisecond { get; }

    internal HypervisorHost Host { get; }

    /// <summary>The identity of a datastore.</summary>
    internal static string IdOf(string name) => $"Datastore-{name}";

    /// <summary>The same datastore; or the name of this one, as PowerShell's -eq and Where-Object compare with what stands at their right.</summary>
    public override bool Equals(object? obj) => obj switch
    {
        Datastore other => other.Id == Id && other.Host == Host,
        string name => string.Equals(name, Name, StringComparison.OrdinalIgnoreCase),
        _ => false,
    };

    /// <inheritdoc/>
    public override int GetHashCode() => StringComparer.Ordinal.GetHashCode(Id);

    /// <inheritdoc/>
    public override string ToString() => Name;

    private static decimal InMB(long bytes) => Math.Round(bytes / BytesPerMB, 3);

    private static decimal InGB(decimal megabytes) => Math.Round(megabytes / MBPerGB, 3);
}
