namespace Hypervisor.Engine.Partitions;

/// <summary>What runs a partition's virtual processors.</summary>
public enum BackendKind
{
    /// <summary>The best backend that the host was found able to run (see <c>Get-VMHost</c>).</summary>
    Auto,

    /// <summary>Linux KVM: VT-x or AMD-V through <c>/dev/kvm</c>.</summary>
    Kvm,

    /// <summary>The Windows Hypervisor Platform.</summary>
    Whp,

    /// <summary>The software processor of this product; needs nothing of the host.</summary>
    Software,
}
