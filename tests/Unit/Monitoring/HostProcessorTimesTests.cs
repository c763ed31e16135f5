using Hypervisor.Engine.Monitoring.Counters;

namespace Hypervisor.Tests.Unit.Monitoring;

public sealed class HostProcessorTimesTests : IDisposable
{
    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    [Fact]
    public void Busy_and_idle_time_of_each_processor_are_in_microseconds()
    {
        File.WriteAllText(_file, "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 20 30 400 50 6 7 88 9 0\ncpu12 1 0 0 0 0 0 0 0 0 0\nintr 5 6\nctxt 77\n");
        IReadOnlyDictionary<int, HostProcessorTime> times = HostProcessorTimes.Read(_file);
        Assert.Equal([0, 12], times.Keys.Order());
        Assert.Equal((1_630_000, 4_500_000, 6_130_000), (times[0].Used, times[0].Halted, times[0].Elapsed));
        Assert.Equal(10_000, times[12].Elapsed);
    }

    [Fact]
    public void What_is_not_told_is_not_known()
    {
        Assert.Empty(HostProcessorTimes.Read(_file + ".missing"));
        File.WriteAllText(_file, "cpu0 1 2\ncpux 1 2 3 4 5 6 7 8\n");
        Assert.Empty(HostProcessorTimes.Read(_file));
    }
}
