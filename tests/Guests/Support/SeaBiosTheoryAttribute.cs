namespace Hypervisor.Tests.Guests.Support;

/// <summary>A test that boots SeaBIOS as Debian packages it; skipped where the package cannot be had.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SeaBiosTheoryAttribute : TheoryAttribute
{
    public SeaBiosTheoryAttribute() => Skip = GuestAssets.WhyNoSeaBios();
}
