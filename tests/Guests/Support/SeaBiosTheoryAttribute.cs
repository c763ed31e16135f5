namespace Hypervisor.Tests.Guests.Support;

/// <summary>A test that boots SeaBIOS as Debian packages it; skipped where the package is not installed.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SeaBiosTheoryAttribute : TheoryAttribute
{
    public const string Image = "/usr/share/seabios/bios-256k.bin";

    public SeaBiosTheoryAttribute() => Skip = File.Exists(Image) ? null : $"{Image} is not there: install the package 'seabios'.";
}
