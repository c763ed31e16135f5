namespace Hypervisor.Engine.Memory.Policy;

/// <summary>Advanced settings of a host that memory follows; the names are those of ESXi.</summary>
internal sealed record MemoryPolicySettings
{
    public static MemoryPolicySettings Default { get; } = new();

    /// <summary>Mem.IdleTax: a page that is not in use costs a machine 1 / (1 - tax) times what one in use does, %.</summary>
    public int IdleTaxPercent { get; init; } = 75;

    /// <summary>Mem.SamplePeriod: how often a new sample of pages is watched, seconds; 0 takes all memory as in use.</summary>
    public int SamplePeriodSeconds { get; init; } = 60;

    /// <summary>Mem.CtlMaxPercent: most of a machine's memory that its balloon may take, %.</summary>
    public int BalloonMaxPercent { get; init; } = 65;

    /// <summary>Mem.ShareScanTime: minutes in which all pages of a machine are looked at once for sharing; 0 for never.</summary>
    public int ShareScanMinutes { get; init; } = 60;

    /// <summary>Mem.ShareScanGHz: most that is looked at for sharing, MB a second for each GHz of the host's processors; 0 for nothing.</summary>
    public int ShareScanMBPerGHz { get; init; } = 4;

    /// <summary>Mem.ShareForceSalting: which machines may share pages with one another (see <see cref="MachineMemoryPlan.SharingDomain"/>).</summary>
    public int ShareSalting { get; init; } = 2;

    /// <summary>Mem.ShareKsm: machines that share pages with all are offered to the host kernel's search for equal pages, where their backend can take part.</summary>
    public bool ShareByKernel { get; init; } = true;

    /// <summary>Mem.AllocGuestLargePage: machines may have large pages, while there is memory.</summary>
    public bool AllowsLargePages { get; init; } = true;
}
