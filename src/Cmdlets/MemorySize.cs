using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Memory as commands take it: in MB or in GB.</summary>
internal static class MemorySize
{
    private const int MBPerGB = 1024;

    /// <summary>The size in MB; null when neither was given.</summary>
    /// <exception cref="InvalidConfigurationException">Both were given and differ, or the size is no whole number of MB or absurd.</exception>
    public static int? InMB(long? megabytes, decimal? gigabytes)
    {
        decimal? fromGB = gigabytes * MBPerGB;
        if (megabytes is { } mb && fromGB is { } other && mb != other)
        {
            throw new InvalidConfigurationException($"-MemoryMB {mb} and -MemoryGB {gigabytes} differ. Give one of them.");
        }

        decimal? size = megabytes ?? fromGB;
        return size switch
        {
            null => null,
            { } value when value != decimal.Truncate(value) => throw new InvalidConfigurationException($"{gigabytes} GB is not a whole number of MB."),
            { } value when value is < 0 or > int.MaxValue => throw new InvalidConfigurationException($"{value} MB of memory is not possible."),
            { } value => (int)value,
        };
    }
}
