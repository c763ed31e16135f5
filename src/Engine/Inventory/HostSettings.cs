using System.Globalization;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Inventory;

/// <summary>The advanced settings of a host that say how much of its processors and memory machines may use, and how.</summary>
/// <remarks>
/// <c>sched.powerCapInWatts</c> lowers the budget by a straight line between what the processors draw idle and what they draw busy:
/// of the MHz there are, (cap - idle) / (busy - idle) may be used. Idle and busy power are settings too; without them 5 W and 15 W for
/// each processor are assumed, because most hosts do not tell a process without privileges what they draw.
/// </remarks>
internal sealed record HostSettings
{
    private const string CpuCountName = "sched.cpuCount", CpuLimitName = "sched.cpuLimitMhz", PowerCapName = "sched.powerCapInWatts",
        PowerIdleName = "sched.powerIdleInWatts", PowerBusyName = "sched.powerBusyInWatts", BalloonMaxName = "Mem.CtlMaxPercent", IdleTaxName = "Mem.IdleTax",
        SamplePeriodName = "Mem.SamplePeriod", ShareScanTimeName = "Mem.ShareScanTime", ShareScanRateName = "Mem.ShareScanGHz", SaltingName = "Mem.ShareForceSalting",
        ShareKsmName = "Mem.ShareKsm", LargePagesName = "Mem.AllocGuestLargePage";

    /// <summary>Setting with the memory that machines may use together, MB.</summary>
    public const string MemoryBudgetName = "Mem.BudgetMB";

    /// <summary>Least memory that machines may use together, MB.</summary>
    private const int LeastMemoryBudgetMB = 64;

    // ESXi's bounds of the settings that have its names.
    private const int MostIdleTax = 99, MostSamplePeriod = 180, MostBalloonPercent = 75, MostShareScanTime = 1440, MostShareScanRate = 32, MostSalting = 2;

    // What is left to the host's own programs when nobody says otherwise: an eighth of its memory, at most 4 GB.
    private const int HostPart = 8, MostForHostMB = 4096;

    private const int AssumedIdleWatts = 5, AssumedBusyWatts = 15;

    /// <summary>Names of the settings.</summary>
    public static readonly string[] Names = [
        CpuCountName, CpuLimitName, PowerBusyName, PowerCapName, PowerIdleName,
        LargePagesName, MemoryBudgetName, BalloonMaxName, IdleTaxName, SamplePeriodName, SaltingName, ShareKsmName, ShareScanRateName, ShareScanTimeName,
    ];

    /// <summary>Processors that machines may use.</summary>
    public required int CpuCount { get; init; }

    /// <summary>MHz that machines may use together.</summary>
    public required long CapacityMHz { get; init; }

    /// <summary><see cref="CapacityMHz"/> is less than what the processors have.</summary>
    public bool IsLimited { get; init; }

    /// <summary>Memory that machines may use together, their overhead included, MB.</summary>
    public required int MemoryBudgetMB { get; init; }

    /// <summary>Memory that reservations and overhead may come to: the budget without what is to be free (<see cref="FreeMemoryThresholds.MinFree"/>), MB.</summary>
    public long ReservableMemoryMB => MemoryBudgetMB - (FreeMemoryThresholds.MinFree((long)MemoryBudgetMB << 20) >> 20);

    /// <summary>How memory is divided and reclaimed.</summary>
    public required MemoryPolicySettings Memory { get; init; }

    /// <summary>Memory for machines when nothing is set, MB.</summary>
    public static int DefaultMemoryBudgetMB(int physicalMemoryMB) => Math.Max(1, physicalMemoryMB - Math.Min(physicalMemoryMB / HostPart, MostForHostMB));

    /// <summary>Reads them.</summary>
    /// <param name="settings">Settings by name.</param>
    /// <param name="host">The host's processors.</param>
    /// <param name="physicalMemoryMB">The host's memory, MB.</param>
    /// <exception cref="InvalidConfigurationException">One is unknown or has a value that cannot be; the message names it.</exception>
    public static HostSettings Read(IReadOnlyDictionary<string, string> settings, HostTopology host, int physicalMemoryMB)
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
        return new HostSettings
        {
            CpuCount = count,
            CapacityMHz = capacity,
            IsLimited = capacity < all,
            MemoryBudgetMB = (int)Number(settings, MemoryBudgetName, DefaultMemoryBudgetMB(physicalMemoryMB), Math.Min(LeastMemoryBudgetMB, physicalMemoryMB), physicalMemoryMB),
            Memory = ReadMemory(settings),
        };
    }

    private static MemoryPolicySettings ReadMemory(IReadOnlyDictionary<string, string> settings)
    {
        MemoryPolicySettings usual = MemoryPolicySettings.Default;
        return new MemoryPolicySettings
        {
            IdleTaxPercent = (int)Number(settings, IdleTaxName, usual.IdleTaxPercent, 0, MostIdleTax),
            SamplePeriodSeconds = (int)Number(settings, SamplePeriodName, usual.SamplePeriodSeconds, 0, MostSamplePeriod),
            BalloonMaxPercent = (int)Number(settings, BalloonMaxName, usual.BalloonMaxPercent, 0, MostBalloonPercent),
            ShareScanMinutes = (int)Number(settings, ShareScanTimeName, usual.ShareScanMinutes, 0, MostShareScanTime),
            ShareScanMBPerGHz = (int)Number(settings, ShareScanRateName, usual.ShareScanMBPerGHz, 0, MostShareScanRate),
            ShareSalting = (int)Number(settings, SaltingName, usual.ShareSalting, 0, MostSalting),
            ShareByKernel = Number(settings, ShareKsmName, usual.ShareByKernel ? 1 : 0, 0, 1) != 0,
            AllowsLargePages = Number(settings, LargePagesName, usual.AllowsLargePages ? 1 : 0, 0, 1) != 0,
        };
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
