namespace Hypervisor.Engine.Partitions;

/// <summary>
/// What the guest sees of model-specific registers that its backend does not know. Guests read some of them without preparing for
/// #GP, because the bare processor always has them; these read as zero ("nothing to report") and forget what is written. All others
/// raise #GP(0), as an absent register does.
/// </summary>
internal static class UnknownMsrPolicy
{
    // Intel SDM vol. 4, table 2-2.
    private const uint PlatformId = 0x17, SmiCount = 0x34, ArchCapabilities = 0x10A, PerfStatus = 0x198, PerfControl = 0x199,
        ClockModulation = 0x19A, ThermalInterrupt = 0x19B, ThermalStatus = 0x19C, TemperatureTarget = 0x1A2,
        EnergyPerfBias = 0x1B0, PackageThermalStatus = 0x1B1, PackageThermalInterrupt = 0x1B2, RaplPowerUnit = 0x606;

    internal static bool TryRead(uint index, out ulong value)
    {
        value = 0;
        return IsInert(index) || index is PlatformId or SmiCount or ArchCapabilities or PerfStatus or TemperatureTarget or RaplPowerUnit;
    }

    internal static bool TryWrite(uint index) => IsInert(index);

    private static bool IsInert(uint index) => index is PerfControl or ClockModulation or ThermalInterrupt or ThermalStatus
        or EnergyPerfBias or PackageThermalStatus or PackageThermalInterrupt;
}
