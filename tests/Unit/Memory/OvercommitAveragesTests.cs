using Hypervisor.Engine.Memory;

namespace Hypervisor.Tests.Unit.Memory;

public sealed class OvercommitAveragesTests
{
    [Fact]
    public void A_minute_moves_the_short_average_most_and_nothing_moves_back_in_time()
    {
        const long Minute = 60 * MemoryManager.Second;
        var averages = new OvercommitAverages();
        Assert.Equal([0, 0, 0], averages.At(0));
        averages.Hold(1, 10 * Minute);
        Assert.Equal([0, 0, 0], averages.At(10 * Minute));

        IReadOnlyList<double> later = averages.At(11 * Minute);
        Assert.Equal(0.632, later[0], 3);
        Assert.Equal(0.181, later[1], 3);
        Assert.Equal(0.064, later[2], 3);
        Assert.Equal(later, averages.At(5 * Minute));

        averages.Hold(0, 500 * Minute);
        Assert.Equal(1, averages.At(500 * Minute)[2], 3);
        Assert.Equal(0, averages.At(900 * Minute)[0], 3);
    }
}
