namespace Hypervisor.Tests.Guests.Support;

/// <summary>A test that boots a stock Debian kernel; skipped, with the reason, where none can be had.</summary>
internal sealed class LinuxFactAttribute : FactAttribute
{
    public LinuxFactAttribute() => Skip = GuestAssets.WhyNoLinux();
}
