using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Turns what a user writes about shares and limits into parts of a configuration.</summary>
internal static class ResourceValues
{
    private const decimal MBPerGB = 1024m;

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

    /// <summary>An amount of memory given in MB or GB; the old one when neither is.</summary>
    public static long? Memory(HypervisorCmdlet cmdlet, string megabytesName, long? megabytes, string gigabytesName, decimal? gigabytes, long? old)
    {
        bool inMB = cmdlet.IsBound(megabytesName), inGB = cmdlet.IsBound(gigabytesName);
        if (inMB && inGB)
        {
            throw new InvalidConfigurationException($"Give -{megabytesName} or -{gigabytesName}, not both.");
        }

        return inMB ? Limit(megabytes) : inGB ? gigabytes == -1 ? null : (long?)(gigabytes * MBPerGB) : old;
    }
}
