namespace Hypervisor.Tests.Guests.Support;

/// <summary>As <see cref="LinuxFactAttribute"/>, with data.</summary>
internal sealed class LinuxTheoryAttribute : TheoryAttribute
{
    public LinuxTheoryAttribute() => Skip = GuestAssets.WhyNoLinux();
}
