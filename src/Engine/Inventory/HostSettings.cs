using System.Globalization;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Inventory;

/// <summary>The advanced settings of a host that say how much of its processors machines may use.</summary>
/// <remarks>
/// <c>sched.powerCapInWatts</c> lowers the budget by a straight line between what the processors draw idle and what they draw busy:
/// of the MHz there are, (cap - idle) / (busy - idle) may be used. Idle and busy power are settings too; without them 5 W and 15 W for
/// each processor are assumed, because most hosts do not tell a process without privileges what they draw.
/// </remarks>
internal sealed record HostSettings
{
    private const string CpuCountName = "sched.cpuCount", CpuLimitName = "sched.cpuLimitMhz", PowerCapName = "sched.powerCapInWatts",
        PowerIdleName = "sched.powerIdleInWatts", PowerBusyName = "sched.powerBusyInWatts";

    private const int AssumedIdleWatts = 5, AssumedBusyWatts = 15;

    /// <summary>Names of the settings.</summary>
    public static readonly string[] Names = [CpuCountName, CpuLimitName, PowerBusyName, PowerCapName, PowerIdleName];

    /// <summary>Processors that machines may use.</summary>
    public required int CpuCount { get; init; }

    /// <summary>MHz that machines may use together.</summary>
    public required long CapacityMHz { get; init; }

    /// <summary><see cref="CapacityMHz"/> is less than what the processors have.</summary>
    public bool IsLimited { get; init; }

    /// <summary>Reads them.</summary>
    /// <exception cref="InvalidConfigurationException">One is unknown or has a value that cannot be; the message names it.</exception>
    public static HostSettings Read(IReadOnlyDictionary<string, string> settings, HostTopology host)
    {
        foreach (string name in settings.Keys)
        {
            if (!Names.Contains(name, StringComparer.OrdinalIgnoreCase))
            {
                throw new InvalidConfigurationException($"There is no advanced setting '{name}' of a host; there are {string.Join(", ", Names)}.");
            }
        }

        int count = (int)Number(settings, CpuCountName, host.Count, 1, host.Count);
        long all = (long)count * host.ProcessorMHz;
        long limit = Number(settings, CpuLimitName, all, 1, long.MaxValue);
        long idle = Number(settings, PowerIdleName, (long)AssumedIdleWatts * count, 0, int.MaxValue);
        long busy = Number(settings, PowerBusyName, (long)AssumedBusyWatts * count, 1, int.MaxValue);
        if (busy <= idle)
        {
            throw new InvalidConfigurationException($"{PowerBusyName} ({busy} W) has to be more than {PowerIdleName} ({idle} W).");
        }

        long cap = Number(settings, PowerCapName, busy, 1, int.MaxValue);
        if (cap <= idle)
        {
            throw new InvalidConfigurationException(
                $"{PowerCapName} is {cap} W, but the processors draw {idle} W doing nothing ({PowerIdleName}): nothing could run. It has to be more than that.");
        }

        long powered = cap >= busy ? all : Math.Max(1, all * (cap - idle) / (busy - idle));
        long capacity = Math.Min(all, Math.Min(limit, powered));
        return new HostSettings { CpuCount = count, CapacityMHz = capacity, IsLimited = capacity < all };
    }

    private static long Number(IReadOnlyDictionary<string, string> settings, string name, long otherwise, long least, long most)
    {
        string? text = settings.FirstOrDefault(pair => string.Equals(pair.Key, name, StringComparison.OrdinalIgnoreCase)).Value;
        if (string.IsNullOrWhiteSpace(text))
        {
            return otherwise;
        }

        return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) && value >= least && value <= most
            ? value
            : throw new InvalidConfigurationException($"The advanced setting {name} is '{text}'; it has to be a whole number from {least}{(most < int.MaxValue ? $" to {most}" : " on")}.");
    }
}
