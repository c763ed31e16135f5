using System.Globalization;

namespace Hypervisor.Benchmarks.Boot;

/// <summary>One boot.</summary>
/// <param name="ToInit">Seconds from start to the first bytes written by init.</param>
/// <param name="ToPowerOff">Seconds from start to the end of the machine.</param>
/// <param name="OverheadMB">Resident memory of the process that is not guest memory, read when init has started.</param>
internal sealed record BootResult(double ToInit, double ToPowerOff, double OverheadMB)
{
    public const string CommandLine = "console=ttyS0 panic=-1 hv.benchmark";

    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{ToInit:F2} s to init, {ToPowerOff:F2} s to off, {OverheadMB:F1} MB");
}
