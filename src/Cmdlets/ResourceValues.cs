using System.Globalization;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Turns what a user writes about shares and limits into parts of a configuration.</summary>
internal static class ResourceValues
{
    private const decimal MBPerGB = 1024m, MaxGB = 1L << 40;
    private const string ProcessorPrefix = "Cpu", NoAffinity = "NoAffinity";

    /// <summary>A limit: -1 and $null stand for none.</summary>
    public static long? Limit(long? value) => value == -1 ? null : value;

    /// <summary>Level and number together: a number without a level is a custom one.</summary>
    public static (SharesLevel Level, int Number) Shares(HypervisorCmdlet cmdlet, string levelName, SharesLevel level, string numberName, int number, (SharesLevel Level, int Number) old, string resource)
    {
        bool hasLevel = cmdlet.IsBound(levelName), hasNumber = cmdlet.IsBound(numberName);
        if (hasNumber && hasLevel && level != SharesLevel.Custom)
        {
            throw new InvalidConfigurationException($"-{numberName} needs -{levelName} Custom; the {resource} shares of the level {level} follow from the size.");
        }

        if (hasLevel && level == SharesLevel.Custom && !hasNumber && old.Level != SharesLevel.Custom)
        {
            throw new InvalidConfigurationException($"-{levelName} Custom needs a number: -{numberName}.");
        }

        return hasNumber ? (SharesLevel.Custom, number) : hasLevel ? (level, level == SharesLevel.Custom ? old.Number : 0) : old;
    }

    /// <summary>An amount of memory given in MB or GB, to the MB; the old one when neither is.</summary>
    public static long? Memory(HypervisorCmdlet cmdlet, string megabytesName, long? megabytes, string gigabytesName, decimal? gigabytes, long? old)
    {
        bool inMB = cmdlet.IsBound(megabytesName), inGB = cmdlet.IsBound(gigabytesName);
        if (inMB && inGB)
        {
            throw new InvalidConfigurationException($"Give -{megabytesName} or -{gigabytesName}, not both.");
        }

        if (inGB && gigabytes is < -MaxGB or > MaxGB)
        {
            throw new InvalidConfigurationException($"-{gigabytesName} {gigabytes}: no computer has so much memory.");
        }

        return inMB ? megabytes : inGB ? (long?)(gigabytes * MBPerGB) : old;
    }

    /// <summary>The same of a limit: -1, in either unit, and $null stand for none.</summary>
    public static long? MemoryLimit(HypervisorCmdlet cmdlet, string megabytesName, long? megabytes, string gigabytesName, decimal? gigabytes, long? old) =>
        Memory(cmdlet, megabytesName, Limit(megabytes), gigabytesName, gigabytes == -1 ? null : gigabytes, old);

    /// <summary>Processors by PowerCLI's names: Cpu0, Cpu1 and so on, or NoAffinity for all.</summary>
    public static int[] Affinity(string[] names)
    {
        if (names is [var only] && only.Equals(NoAffinity, StringComparison.OrdinalIgnoreCase))
        {
            return [];
        }

        return [.. names.Select(static name =>
            name.StartsWith(ProcessorPrefix, StringComparison.OrdinalIgnoreCase) && int.TryParse(name.AsSpan(ProcessorPrefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int number)
                ? number
                : throw new InvalidConfigurationException($"'{name}' is no processor; they are named {ProcessorPrefix}0, {ProcessorPrefix}1 and so on, and {NoAffinity} alone stands for all.")).Distinct().Order()];
    }
}
