namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>
/// Runs a device's work off the virtual processors' threads: on the thread pool, or on a thread of its own where latency matters.
/// Never twice at once; a wake-up during a run makes it run again. Waking allocates nothing.
/// </summary>
internal sealed class DeviceWorker : IThreadPoolWorkItem, IDisposable
{
    private const int Idle = 0, Queued = 1, Running = 2, RunningAgain = 3;

    private readonly Action _work;
    private readonly Func<Action<Exception>?> _failed;
    private readonly object _wake = new();
    private readonly Thread? _thread;
    private int _state;
    private bool _disposed;

    /// <param name="name">Name of the thread.</param>
    /// <param name="work">One bounded pass.</param>
    /// <param name="failed">Whom to tell of an exception out of a pass; null ends the process.</param>
    /// <param name="dedicatedThread">A thread of its own instead of the pool.</param>
    public DeviceWorker(string name, Action work, Func<Action<Exception>?> failed, bool dedicatedThread)
    {
        _work = work;
        _failed = failed;
        if (dedicatedThread)
        {
            _thread = new Thread(RunThread) { Name = name, IsBackground = true };
            _thread.Start();
        }
    }

    /// <summary>Makes sure that a pass begins after this call.</summary>
    public void Wake()
    {
        while (true)
        {
            int state = Volatile.Read(ref _state);
            if (state is Queued or RunningAgain)
            {
                return;
            }

            int next = state == Idle ? Queued : RunningAgain;
            if (Interlocked.CompareExchange(ref _state, next, state) != state)
            {
                continue;
            }

            if (state == Idle)
            {
                Schedule();
            }

            return;
        }
    }

    /// <summary>Ends the thread; a pass under way finishes first.</summary>
    public void Dispose()
    {
        if (_thread == null)
        {
            return;
        }

        lock (_wake)
        {
            _disposed = true;
            Monitor.Pulse(_wake);
        }

        if (Thread.CurrentThread != _thread)
        {
            _thread.Join();
        }
    }

    void IThreadPoolWorkItem.Execute()
    {
        if (RunOnce())
        {
            // Back to the end of the line, so that one busy device does not keep a pool thread from the others.
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }
    }

    private void Schedule()
    {
        if (_thread == null)
        {
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
            return;
        }

        lock (_wake)
        {
            Monitor.Pulse(_wake);
        }
    }

    // True when there is more to do; the state is then Queued.
    private bool RunOnce()
    {
        Volatile.Write(ref _state, Running);
        try
        {
            _work();
        }
        catch (Exception error) when (_failed() is not null)
        {
            _failed()!(error);
        }

        return Interlocked.CompareExchange(ref _state, Idle, Running) != Running
            && Interlocked.Exchange(ref _state, Queued) == RunningAgain;
    }

    private void RunThread()
    {
        while (true)
        {
            lock (_wake)
            {
                while (Volatile.Read(ref _state) != Queued && !_disposed)
                {
                    Monitor.Wait(_wake);
                }

                if (_disposed)
                {
                    return;
                }
            }

            RunOnce();
        }
    }
}
