namespace Hypervisor.Engine.Network.UserMode;

/// <summary>
/// What the parts of a user-mode network share. <see cref="Gate"/> guards all of their state: the guest's adapter, the sockets'
/// completions and the timer enter through it, work, and leave by <see cref="Settle"/>.
/// </summary>
internal sealed class NetworkCore : IDisposable
{
    private readonly ITimer _timer;
    private readonly long _ticksPerSecond;
    private long _armedFor = long.MaxValue;

    public NetworkCore(UserModeNetworkOptions options, Action timerElapsed)
    {
        Options = options;
        Subnet = new Subnet(options);
        Link = new GuestLink(Subnet, options.Mtu);
        _ticksPerSecond = options.TimeProvider.TimestampFrequency;
        _timer = options.TimeProvider.CreateTimer(_ => timerElapsed(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public Lock Gate { get; } = new();

    public UserModeNetworkOptions Options { get; }

    public Subnet Subnet { get; }

    public GuestLink Link { get; }

    public NeighborTable Neighbors { get; } = new();

    /// <summary>Finishes a turn under <see cref="Gate"/>: sends what is due and ends the group of frames.</summary>
    public Action Settle { get; set; } = static () => { };

    public bool IsDisposed { get; private set; }

    /// <summary>Monotonic time in microseconds.</summary>
    public long Now
    {
        get
        {
            long ticks = Options.TimeProvider.GetTimestamp();
            return _ticksPerSecond == 1_000_000_000 ? ticks / 1000 : (long)((Int128)ticks * 1_000_000 / _ticksPerSecond);
        }
    }

    /// <summary>Has the timer elapse no later than a deadline (see <see cref="Now"/>).</summary>
    public void ArmTimer(long deadline)
    {
        if (deadline >= _armedFor || IsDisposed)
        {
            return;
        }

        _armedFor = deadline;
        long microseconds = Math.Clamp(deadline - Now, 0, 3_600_000_000);

        // Timers count whole milliseconds: rounded up, so that what is due is due.
        _timer.Change(TimeSpan.FromMilliseconds((microseconds + 999) / 1000), Timeout.InfiniteTimeSpan);
    }

    /// <summary>Runs a turn that a socket or the timer began, under <see cref="Gate"/>. Allocates nothing where the turn is static.</summary>
    public void Run<T>(T state, Action<T> turn)
    {
        try
        {
            lock (Gate)
            {
                turn(state);
            }
        }
        catch (Exception error) when (Options.Failed is not null)
        {
            Options.Failed(error);
        }
    }

    /// <summary>Sees to it that a failure of a task that nobody waits for is told.</summary>
    public void Watch(Task task)
    {
        if (Options.Failed is { } failed)
        {
            _ = task.ContinueWith(
                static (done, told) => ((Action<Exception>)told!)(done.Exception!.InnerException!),
                failed, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
        }
    }

    /// <summary>Forgets the deadline that just passed.</summary>
    public void TimerElapsed() => _armedFor = long.MaxValue;

    /// <inheritdoc/>
    public void Dispose()
    {
        IsDisposed = true;
        _timer.Dispose();
    }
}
