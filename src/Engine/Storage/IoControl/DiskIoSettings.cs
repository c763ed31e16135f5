using System.Text.Json.Serialization;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// What a disk may claim of its datastore. IOPS count in units of <see cref="IoCost.DefaultUnit"/> bytes, as ESXi's Disk.SchedCostUnit does:
/// a request of 64 KB is two.
/// </summary>
public sealed record DiskIoSettings
{
    /// <summary>How an absent limit reads.</summary>
    public const long Unlimited = -1;

    /// <summary>Shares of the levels Low, Normal and High.</summary>
    public const int LowShares = 500, NormalShares = 1000, HighShares = 2000;

    /// <summary>Range of custom shares.</summary>
    public const int MinShares = 1, MaxShares = 1_000_000;

    /// <summary>Greatest limit and reservation, I/O operations a second: a decision is made for every operation.</summary>
    public const long MaxIops = 100_000_000;

    private const double BytesPerMB = 1 << 20;

    /// <summary>Least bandwidth limit, bytes a second.</summary>
    public const long MinBytesPerSecond = 1 << 16;

    /// <summary>A disk that nothing was said of.</summary>
    public static DiskIoSettings Default { get; } = new();

    /// <summary>Importance beside other disks of the datastore.</summary>
    public SharesLevel SharesLevel { get; init; } = SharesLevel.Normal;

    /// <summary>Shares that the level stands for.</summary>
    public int Shares { get; init; } = NormalShares;

    /// <summary>Most I/O operations a second, or -1.</summary>
    public long LimitIops { get; init; } = Unlimited;

    /// <summary>Most bytes a second, or -1.</summary>
    public long LimitBytesPerSecond { get; init; } = Unlimited;

    /// <summary>I/O operations a second that the disk gets before others get any; 0 for none.</summary>
    public long ReservationIops { get; init; }

    /// <summary>There is a limit or a reservation, which act whether or not the datastore is congested.</summary>
    [JsonIgnore]
    public bool IsRestricted => LimitIops != Unlimited || LimitBytesPerSecond != Unlimited || ReservationIops != 0;

    /// <summary>These settings at a shares level.</summary>
    /// <param name="level">The level.</param>
    /// <param name="shares">The number for <see cref="Inventory.SharesLevel.Custom"/>; other levels have their own.</param>
    /// <exception cref="InvalidConfigurationException">A custom level without a number, or a number with another level that does not stand for it.</exception>
    public DiskIoSettings WithShares(SharesLevel? level, int? shares)
    {
        if (level is null)
        {
            return shares is { } number ? this with { SharesLevel = LevelOf(number), Shares = number } : this;
        }

        if (level == SharesLevel.Custom)
        {
            return this with { SharesLevel = SharesLevel.Custom, Shares = shares ?? (SharesLevel == SharesLevel.Custom ? Shares : throw new InvalidConfigurationException("Custom disk shares need a number: give -NumDiskShares too.")) };
        }

        int worth = SharesOf(level.Value);
        return shares is null || shares == worth
            ? this with { SharesLevel = level.Value, Shares = worth }
            : throw new InvalidConfigurationException($"The disk shares level {level} stands for {worth} shares, not {shares}. Use the level Custom for another number.");
    }

    /// <summary>Checks the values against each other.</summary>
    /// <param name="disk">What the message calls the disk.</param>
    /// <exception cref="InvalidConfigurationException">A rule is broken.</exception>
    public void Check(string disk)
    {
        if (Shares is < MinShares or > MaxShares)
        {
            throw new InvalidConfigurationException($"{disk}: {Shares} disk shares; there can be {MinShares} to {MaxShares}.");
        }

        if (LimitIops != Unlimited && LimitIops is < 1 or > MaxIops)
        {
            throw new InvalidConfigurationException($"{disk}: a limit of {LimitIops} I/O operations a second; it can be 1 to {MaxIops}, or $null for none.");
        }

        if (LimitBytesPerSecond != Unlimited && LimitBytesPerSecond < MinBytesPerSecond)
        {
            throw new InvalidConfigurationException(string.Create(
                System.Globalization.CultureInfo.InvariantCulture,
                $"{disk}: a bandwidth limit of {LimitBytesPerSecond / BytesPerMB:0.####} MB a second; it can be {MinBytesPerSecond / BytesPerMB} or more, or $null for none."));
        }

        if (ReservationIops is < 0 or > MaxIops)
        {
            throw new InvalidConfigurationException($"{disk}: a reservation of {ReservationIops} I/O operations a second; it can be 0 (none) to {MaxIops}.");
        }

        if (LimitIops != Unlimited && ReservationIops > LimitIops)
        {
            throw new InvalidConfigurationException($"{disk}: the reservation of {ReservationIops} I/O operations a second is above the limit of {LimitIops}. Raise the limit or lower the reservation.");
        }
    }

    private static int SharesOf(SharesLevel level) => level switch
    {
        SharesLevel.Low => LowShares,
        SharesLevel.High => HighShares,
        _ => NormalShares,
    };

    private static SharesLevel LevelOf(int shares) => shares switch
    {
        LowShares => SharesLevel.Low,
        NormalShares => SharesLevel.Normal,
        HighShares => SharesLevel.High,
        _ => SharesLevel.Custom,
    };
}
