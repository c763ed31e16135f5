namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// Decides which request a datastore gets next and when: <see cref="MClock"/> for the order, <see cref="LatencyWindow"/> for the number
/// at once. Pure policy over explicit time in nanoseconds, driven by the datastore's scheduler and by simulations alike.
/// </summary>
internal sealed class DatastorePolicy
{
    /// <summary>Nanoseconds over which latency is averaged before the window moves; longer when fewer than <see cref="LeastSamples"/> requests ended.</summary>
    public const long Interval = 100_000_000;

    /// <summary>Requests that make a mean.</summary>
    public const int LeastSamples = 8;

    private const long LongestInterval = 1_000_000_000;

    private readonly MClock _order;
    private readonly LatencyWindow _window;
    private readonly CongestionEstimator _estimator = new();
    private DatastoreIoSettings _settings;
    private int _outstanding;
    private int _probe;
    private bool _probeSettles;

    // What happened since the interval began.
    private long _intervalStart, _lastChange;
    private double _loadTime, _latencySum;
    private long _ended, _cost;
    private bool _saturated;

    public DatastorePolicy(DatastoreIoSettings settings, long now, MClockOptions? options = null)
    {
        _order = new MClock(options ?? MClockOptions.Default);
        _window = new LatencyWindow(settings.QueueDepth);
        _settings = settings;
        _order.SetBudget(settings.LimitIops, now);
        StartInterval(now);
    }

    /// <summary>Requests at the device.</summary>
    public int Outstanding => _outstanding;

    /// <summary>Requests that wait.</summary>
    public int Waiting => _order.Waiting;

    /// <summary>Requests that the device may have at once now.</summary>
    public int QueueDepth => _probe > 0 ? _probe : _window.Size;

    /// <summary>Latency above which the datastore counts as congested, nanoseconds.</summary>
    public double Threshold => _settings.CongestionThresholdMode == CongestionThresholdMode.Manual
        ? _settings.CongestionThresholdMillisecond * 1e6
        : _estimator.Threshold(_settings.PercentOfPeakThroughput);

    /// <summary>Smoothed latency of the device, nanoseconds; 0 when it is not governed by latency.</summary>
    public double Latency => _window.Latency;

    /// <summary>The order of requests.</summary>
    public MClock Order => _order;

    /// <summary>Changes the settings, from the next decision on.</summary>
    public void Configure(DatastoreIoSettings settings, long now)
    {
        bool reopen = settings.Enabled != _settings.Enabled || settings.QueueDepth != _settings.QueueDepth;
        if (settings.LimitIops != _settings.LimitIops)
        {
            _order.SetBudget(settings.LimitIops, now);
        }

        _settings = settings;
        _probe = 0;
        if (reopen)
        {
            _window.Reset(settings.QueueDepth);
            StartInterval(now);
        }
    }

    /// <summary>Takes a request; <see cref="Next"/> says when it may go.</summary>
    public void Submit(DiskQueue disk, IoRequest request, long now) => _order.Enqueue(disk, request, now);

    /// <summary>The request that may go to the device now, or null. To be called until it gives null.</summary>
    public IoRequest? Next(long now)
    {
        if (_outstanding >= QueueDepth)
        {
            _saturated |= _order.Waiting > 0;
            return null;
        }

        IoRequest? request = _order.Dequeue(now);
        if (request is not null)
        {
            CountLoad(now);
            _outstanding++;
        }

        return request;
    }

    /// <summary>A request ended at the device.</summary>
    /// <param name="cost">Its cost.</param>
    /// <param name="latency">How long it was there, nanoseconds.</param>
    /// <param name="now">Time, nanoseconds.</param>
    public void Complete(int cost, long latency, long now)
    {
        CountLoad(now);
        _outstanding--;
        _latencySum += latency;
        _cost += cost;
        _ended++;
        long elapsed = now - _intervalStart;
        if (elapsed >= Interval && (_ended >= LeastSamples || elapsed >= LongestInterval))
        {
            EndInterval(now, elapsed);
        }
    }

    /// <summary>A granted request was never executed.</summary>
    public void Abandon(long now)
    {
        CountLoad(now);
        _outstanding--;
    }

    /// <summary>When <see cref="Next"/> may give a request without anything else happening; <see cref="long.MaxValue"/> for never.</summary>
    public long NextTime(long now) => _outstanding >= QueueDepth ? long.MaxValue : _order.NextTime(now);

    private void EndInterval(long now, long elapsed)
    {
        if (_settings.Enabled)
        {
            double latency = _latencySum / _ended;
            if (_settings.CongestionThresholdMode == CongestionThresholdMode.Automatic)
            {
                Learn(latency, now, elapsed);
            }

            if (_probe == 0)
            {
                _window.Update(latency, Threshold);
            }
        }

        StartInterval(now);
    }

    private void Learn(double latency, long now, long elapsed)
    {
        if (_probeSettles)
        {
            // Requests of before the probe began or ended are still among those that ended.
            _probeSettles = false;
            return;
        }

        _estimator.Observe(_loadTime / elapsed, _cost * 1e9 / elapsed, latency, now);
        bool wasProbe = _probe > 0;
        if (wasProbe)
        {
            _estimator.Tried(_probe, now);
        }

        _probe = _saturated ? _estimator.NextProbe(_window.Most, now) : 0;
        _probeSettles = _probe > 0 || wasProbe;
    }

    private void StartInterval(long now)
    {
        _intervalStart = _lastChange = now;
        _loadTime = _latencySum = 0;
        _ended = _cost = 0;
        _saturated = false;
    }

    private void CountLoad(long now)
    {
        if (_outstanding == 0 && now - _lastChange > Interval)
        {
            // The device was idle: the interval begins with the load.
            StartInterval(now);
            return;
        }

        _loadTime += (double)_outstanding * (now - _lastChange);
        _lastChange = now;
    }
}
