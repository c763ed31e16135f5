using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Tests.Unit.Storage.IoControl;

public sealed class DiskIoSettingsTests
{
    [Theory]
    [InlineData(SharesLevel.Low, 500)]
    [InlineData(SharesLevel.Normal, 1000)]
    [InlineData(SharesLevel.High, 2000)]
    public void Levels_stand_for_shares_and_shares_for_levels(SharesLevel level, int shares)
    {
        Assert.Equal(shares, new DiskIoSettings().WithShares(level, null).Shares);
        Assert.Equal(level, new DiskIoSettings().WithShares(null, shares).SharesLevel);
        Assert.Equal(shares, new DiskIoSettings().WithShares(level, shares).Shares);
        Assert.Contains("Custom", Assert.Throws<InvalidConfigurationException>(() => new DiskIoSettings().WithShares(level, 7)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Custom_shares_need_a_number()
    {
        Assert.Equal((SharesLevel.Custom, 3000), new DiskIoSettings().WithShares(null, 3000) is var custom ? (custom.SharesLevel, custom.Shares) : default);
        Assert.Equal(3000, custom.WithShares(SharesLevel.Custom, null).Shares);
        Assert.Throws<InvalidConfigurationException>(() => new DiskIoSettings().WithShares(SharesLevel.Custom, null));
    }

    [Fact]
    public void Values_that_cannot_be_are_refused_by_name()
    {
        Refused(new() { LimitIops = 0 }, "limit of 0 I/O");
        Refused(new() { LimitIops = -2 }, "limit of -2 I/O");
        Refused(new() { LimitBytesPerSecond = 1000 }, "bandwidth limit of 0.001 MB a second; it can be 0.0625 or more");
        Refused(new() { ReservationIops = -1 }, "reservation of -1");
        Refused(new() { ReservationIops = 200, LimitIops = 100 }, "the reservation of 200 I/O operations a second is above the limit of 100");
        Refused(new() { Shares = 0 }, "0 disk shares");
        new DiskIoSettings { ReservationIops = 100, LimitIops = 100 }.Check("disk 0");

        static void Refused(DiskIoSettings settings, string text) =>
            Assert.StartsWith($"disk 0: ", Assert.Throws<InvalidConfigurationException>(() => settings.Check("disk 0")).Message is var message && message.Contains(text, StringComparison.Ordinal) ? message : $"'{text}' is not in '{message}'", StringComparison.Ordinal);
    }

    [Fact]
    public void A_datastores_values_are_checked()
    {
        Assert.Contains("0 ms", Assert.Throws<InvalidConfigurationException>(() => new DatastoreIoSettings { CongestionThresholdMillisecond = 0 }.Check("ds")).Message, StringComparison.Ordinal);
        Assert.Contains("101 percent", Assert.Throws<InvalidConfigurationException>(() => new DatastoreIoSettings { PercentOfPeakThroughput = 101 }.Check("ds")).Message, StringComparison.Ordinal);
        Assert.Contains("2 requests", Assert.Throws<InvalidConfigurationException>(() => new DatastoreIoSettings { QueueDepth = 2 }.Check("ds")).Message, StringComparison.Ordinal);
        Assert.Contains("limit of 0", Assert.Throws<InvalidConfigurationException>(() => new DatastoreIoSettings { LimitIops = 0 }.Check("ds")).Message, StringComparison.Ordinal);
        DatastoreIoSettings.Default.Check("ds");
    }
}
