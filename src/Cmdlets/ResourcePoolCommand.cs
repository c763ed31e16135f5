using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>What New-ResourcePool and Set-ResourcePool have in common: what a pool gets.</summary>
public abstract class ResourcePoolCommand : HypervisorCmdlet
{
    /// <summary>CPU shares: Low, Normal and High are 2000, 4000 and 8000.</summary>
    [Parameter]
    public SharesLevel CpuSharesLevel { get; set; }

    /// <summary>CPU shares as a number, 1 to 1000000.</summary>
    [Parameter]
    public int NumCpuShares { get; set; }

    /// <summary>Processor time that the pool gets in any case when something in it wants it, MHz. Refused when it cannot be promised.</summary>
    [Parameter]
    public long CpuReservationMhz { get; set; }

    /// <summary>What is in the pool may reserve more than the pool has, out of the pool above; true for a new pool.</summary>
    [Parameter]
    public bool CpuExpandableReservation { get; set; }

    /// <summary>Processor time that the pool never gets more than, MHz; $null or -1 for no limit.</summary>
    [Parameter]
    [AllowNull]
    public long? CpuLimitMhz { get; set; }

    /// <summary>Memory shares: Low, Normal and High are 81920, 163840 and 327680; Custom takes -NumMemShares. When memory is scarce pools get it in proportion to their shares.</summary>
    [Parameter]
    public SharesLevel MemSharesLevel { get; set; }

    /// <summary>Memory shares as a number, 1 to 1000000.</summary>
    [Parameter]
    public int NumMemShares { get; set; }

    /// <summary>Memory that what is in the pool gets together in any case, as far as it uses it, MB. Refused when it cannot be promised.</summary>
    [Parameter]
    public long MemReservationMB { get; set; }

    /// <summary>The same in GB.</summary>
    [Parameter]
    public decimal MemReservationGB { get; set; }

    /// <summary>What is in the pool may reserve more memory than the pool has, out of the pool above; true for a new pool.</summary>
    [Parameter]
    public bool MemExpandableReservation { get; set; }

    /// <summary>Memory of the host that what is in the pool never gets more than together, overhead included, MB; $null or -1 for no limit.</summary>
    [Parameter]
    [AllowNull]
    public long? MemLimitMB { get; set; }

    /// <summary>The same in GB.</summary>
    [Parameter]
    [AllowNull]
    public decimal? MemLimitGB { get; set; }

    internal ResourcePoolConfiguration Change(ResourcePoolConfiguration old)
    {
        (SharesLevel cpu, int cpuShares) = ResourceValues.Shares(
            this, nameof(CpuSharesLevel), CpuSharesLevel, nameof(NumCpuShares), NumCpuShares, (old.CpuSharesLevel, old.NumCpuShares), "CPU");
        (SharesLevel memory, int memoryShares) = ResourceValues.Shares(
            this, nameof(MemSharesLevel), MemSharesLevel, nameof(NumMemShares), NumMemShares, (old.MemSharesLevel, old.NumMemShares), "memory");
        return old with
        {
            CpuSharesLevel = cpu,
            NumCpuShares = cpuShares,
            CpuReservationMhz = IsBound(nameof(CpuReservationMhz)) ? CpuReservationMhz : old.CpuReservationMhz,
            CpuExpandableReservation = IsBound(nameof(CpuExpandableReservation)) ? CpuExpandableReservation : old.CpuExpandableReservation,
            CpuLimitMhz = IsBound(nameof(CpuLimitMhz)) ? ResourceValues.Limit(CpuLimitMhz) : old.CpuLimitMhz,
            MemSharesLevel = memory,
            NumMemShares = memoryShares,
            MemReservationMB = ResourceValues.Memory(this, nameof(MemReservationMB), MemReservationMB, nameof(MemReservationGB), MemReservationGB, old.MemReservationMB) ?? 0,
            MemExpandableReservation = IsBound(nameof(MemExpandableReservation)) ? MemExpandableReservation : old.MemExpandableReservation,
            MemLimitMB = ResourceValues.MemoryLimit(this, nameof(MemLimitMB), MemLimitMB, nameof(MemLimitGB), MemLimitGB, old.MemLimitMB),
        };
    }
}
