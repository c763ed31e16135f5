namespace Hypervisor.Engine.Memory.Policy;

/// <summary>How short of memory a host is; the states of ESXi. A greater value is shorter.</summary>
public enum HostMemoryState
{
    /// <summary>Enough is free: large pages may be used, nothing is taken from anybody but what is above its own limit.</summary>
    High,

    /// <summary>Less than minFree is free: large pages are broken up, and pages of equal content are looked for faster.</summary>
    Clear,

    /// <summary>Less than 64 % of minFree: balloons are inflated; machines whose balloon cannot give what they owe are compressed and swapped.</summary>
    Soft,

    /// <summary>Less than 32 %: pages are compressed and swapped too.</summary>
    Hard,

    /// <summary>Less than 16 %: machines above their entitlement also wait before they get more.</summary>
    Low,
}
