using System.Collections.Concurrent;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Machines;

/// <summary>
/// The thread of one virtual processor: runs it, waits while it is halted, and stands still while the machine is paused. Between two
/// runs it asks for permission, which is where a scheduler grants slices.
/// </summary>
internal sealed class VirtualProcessorThread
{
    /// <summary>Longest wait of a halted processor in one go. Every wake-up ends it at once; this only bounds the damage of a lost one.</summary>
    private static readonly TimeSpan HaltedWait = TimeSpan.FromMilliseconds(250);

    private readonly object _gate = new();
    private readonly IVirtualProcessor _processor;
    private readonly Action<VirtualProcessorThread, VpExit> _stopped;
    private readonly Action<VirtualProcessorThread, Exception> _failed;
    private readonly Thread _thread;
    private readonly WorldPermit? _permit;
    private readonly ConcurrentQueue<ProcessorVisit> _visits = new();
    private volatile bool _pauseRequested = true;
    private volatile bool _endRequested;
    private volatile bool _ended;
    private bool _paused = true;

    /// <summary>Makes a thread, paused.</summary>
    /// <param name="processor">What it runs.</param>
    /// <param name="machineName">For the thread's name.</param>
    /// <param name="stopped">Told of an exit that the machine has to decide on; the processor is paused then.</param>
    /// <param name="failed">Told of an exception out of the backend; the processor is paused then.</param>
    /// <param name="schedule">Where it asks for physical processors; null lets it run whenever it wants to.</param>
    /// <param name="haltsInside">The backend waits inside while the guest has halted the processor.</param>
    public VirtualProcessorThread(
        IVirtualProcessor processor,
        string machineName,
        Action<VirtualProcessorThread, VpExit> stopped,
        Action<VirtualProcessorThread, Exception> failed,
        MachineSchedule? schedule = null,
        bool haltsInside = false)
    {
        _processor = processor;
        _stopped = stopped;
        _failed = failed;
        _permit = schedule?.PermitFor(processor.Index, processor.Kick, haltsInside);
        _thread = new Thread(Loop) { IsBackground = true, Name = $"vcpu{processor.Index} {machineName}" };
    }

    /// <summary>The processor. Its state may be read and set while the thread is paused.</summary>
    public IVirtualProcessor Processor => _processor;

    /// <summary>Starts the thread; the processor runs after <see cref="Resume"/>.</summary>
    public void Start() => _thread.Start();

    /// <summary>Asks the processor to stand still soon. Any thread, its own too.</summary>
    public void RequestPause()
    {
        _pauseRequested = true;
        _processor.Kick();
        _permit?.Interrupt();
    }

    /// <summary>Waits until the processor stands still; false when it did not in time.</summary>
    public bool WaitUntilPaused(TimeSpan timeout)
    {
        long deadline = Environment.TickCount64 + (long)timeout.TotalMilliseconds;
        lock (_gate)
        {
            while (!_paused)
            {
                long left = deadline - Environment.TickCount64;
                if (left <= 0 || !Monitor.Wait(_gate, (int)left))
                {
                    return _paused;
                }
            }

            return true;
        }
    }

    /// <summary>Lets the processor run again.</summary>
    public void Resume()
    {
        lock (_gate)
        {
            _pauseRequested = false;
            // Set here, not by the thread when it wakes: a pause that follows at once must wait for it.
            _paused = false;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>
    /// Has something done with the processor on its thread, between two instructions of the guest. A processor that stands still is
    /// somebody else's: then it is done once that one lets it run again.
    /// </summary>
    /// <remarks>Not once the processor may be disposed: it is kicked.</remarks>
    /// <returns>Completes when it is done; cancelled when the thread ended before.</returns>
    public Task Visit(Action<IVirtualProcessor> action)
    {
        var visit = new ProcessorVisit(action);
        _visits.Enqueue(visit);
        if (_ended)
        {
            RefuseVisits();
            return visit.Done;
        }

        _processor.Kick();
        _permit?.Interrupt();
        return visit.Done;
    }

    /// <summary>Ends the thread; false when it did not end in time.</summary>
    public bool End(TimeSpan timeout)
    {
        _endRequested = true;
        _processor.Kick();
        _permit?.Interrupt();
        lock (_gate)
        {
            Monitor.PulseAll(_gate);
        }

        return (_thread.ThreadState & ThreadState.Unstarted) != 0 || _thread.Join(timeout);
    }

    private void Loop()
    {
        try
        {
            while (AwaitPermission())
            {
                var exit = _processor.Run();
                switch (exit.Reason)
                {
                    case VpExitReason.Kicked:
                        break;
                    case VpExitReason.Halted:
                        if (!_pauseRequested && !_endRequested)
                        {
                            _permit?.Release(WorldState.Idle);
                            _processor.WaitWhileHalted(HaltedWait);
                        }

                        break;
                    default:
                        _pauseRequested = true;
                        _stopped(this, exit);
                        break;
                }
            }
        }
        catch (Exception error)
        {
            // A defect of a backend or device. The process and its other machines go on; this one is told why it ends.
            _failed(this, error);
        }
        finally
        {
            _permit?.Release(WorldState.Blocked);
            _ended = true;
            // Who enqueues looks at it afterwards; this does the opposite, so that one of the two sees the other.
            Interlocked.MemoryBarrier();
            RefuseVisits();
            lock (_gate)
            {
                _paused = true;
                Monitor.PulseAll(_gate);
            }
        }
    }

    /// <summary>True when the processor may run; false when the thread is to end.</summary>
    private bool AwaitPermission()
    {
        while (!_endRequested)
        {
            if (_pauseRequested)
            {
                _permit?.Release(WorldState.Blocked);
                StandStill();
                continue;
            }

            CarryVisits();
            if (_permit is null || _permit.Acquire())
            {
                return true;
            }

            // Else the wait for a physical processor was interrupted: by a pause or the end.
        }

        return false;
    }

    private void CarryVisits()
    {
        while (_visits.TryDequeue(out ProcessorVisit? visit))
        {
            visit.Carry(_processor);
        }
    }

    private void RefuseVisits()
    {
        while (_visits.TryDequeue(out ProcessorVisit? visit))
        {
            visit.Refuse();
        }
    }

    private void StandStill()
    {
        lock (_gate)
        {
            while (_pauseRequested && !_endRequested)
            {
                if (!_paused)
                {
                    _paused = true;
                    Monitor.PulseAll(_gate);
                }

                Monitor.Wait(_gate);
            }
        }
    }
}
