namespace Hypervisor.Engine.Monitoring.Counters;

/// <summary>How things that are counted belong together, as PowerCLI's <c>Get-EsxTop -TopologyInfo</c> gives it.</summary>
public sealed class EsxTopTopology
{
    internal EsxTopTopology(string name, IEnumerable<object> entries) => (Name, Entries) = (name, [.. entries]);

    /// <summary>Name, such as <c>SchedGroup</c>.</summary>
    public string Name { get; }

    /// <summary>The things, and in them what belongs to them.</summary>
    public IReadOnlyList<object> Entries { get; }

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>The host's processors.</summary>
/// <param name="LCPU">How many.</param>
public sealed record PcpuTopology(int LCPU)
{
    /// <inheritdoc/>
    public override string ToString() => $"{LCPU} LCPU";
}

/// <summary>A machine's group of worlds.</summary>
/// <param name="GroupID">Number of the group.</param>
/// <param name="GroupName">Its name.</param>
/// <param name="MemClientID">Number of its memory; -1 when no counter has it.</param>
/// <param name="CPUClient">Its worlds.</param>
public sealed record SchedGroupTopology(int GroupID, string GroupName, int MemClientID, IReadOnlyList<CpuClientTopology> CPUClient)
{
    /// <inheritdoc/>
    public override string ToString() => GroupName;
}

/// <summary>A world.</summary>
/// <param name="CPUClientID">Number of the world: VCPUID of the counter VCPU.</param>
/// <param name="VCPUName">Its name.</param>
public sealed record CpuClientTopology(int CPUClientID, string VCPUName)
{
    /// <inheritdoc/>
    public override string ToString() => VCPUName;
}

/// <summary>A network or switch.</summary>
/// <param name="PortsetName">Its name.</param>
/// <param name="NetPort">Its ports.</param>
public sealed record NetPortsetTopology(string PortsetName, IReadOnlyList<NetPortTopology> NetPort)
{
    /// <inheritdoc/>
    public override string ToString() => PortsetName;
}

/// <summary>A network port.</summary>
/// <param name="PortID">Number of the port.</param>
/// <param name="PortsetName">The network or switch.</param>
public sealed record NetPortTopology(int PortID, string PortsetName)
{
    /// <inheritdoc/>
    public override string ToString() => $"{PortID}";
}

/// <summary>A datastore.</summary>
/// <param name="DeviceName">The datastore.</param>
/// <param name="WorldPerDev">Groups of the machines that have disks on it.</param>
public sealed record ScsiDeviceTopology(string DeviceName, IReadOnlyList<WorldPerDevTopology> WorldPerDev)
{
    /// <inheritdoc/>
    public override string ToString() => DeviceName;
}

/// <summary>A machine that uses a datastore.</summary>
/// <param name="WorldID">Number of the machine's group of worlds.</param>
public sealed record WorldPerDevTopology(int WorldID)
{
    /// <inheritdoc/>
    public override string ToString() => $"{WorldID}";
}
