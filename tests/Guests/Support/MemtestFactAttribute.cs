namespace Hypervisor.Tests.Guests.Support;

/// <summary>A test that boots Debian's memtest86+; skipped where the package is neither installed nor to be had.</summary>
internal sealed class MemtestFactAttribute : FactAttribute
{
    public MemtestFactAttribute() => Skip = GuestAssets.WhyNoMemtest();
}
