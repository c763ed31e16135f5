using System.Diagnostics.CodeAnalysis;
using Hypervisor.Engine.Native.Timing;

namespace Hypervisor.Engine.Scheduling;

/// <summary>
/// A thread's right to use a physical processor. The thread asks for it before it runs guest code, gives it back when it has nothing
/// to do, and looks at <see cref="MayGoOn"/> whenever it was interrupted. All methods but <see cref="Interrupt"/> belong to that thread.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "A thread that hangs in its backend may wait on after its machine has gone; the event goes with the last that knows it.")]
internal sealed class WorldPermit
{
    /// <summary>Of a thread that is not bound to a slot.</summary>
    internal const int NoSlot = -1;

    // An event of the kernel and no lock: whoever is woken on the processor of the thread that wakes it runs at once, and would have to wait
    // for that one again to let go of the lock.
    private readonly PreciseEvent _wake = new();
    private readonly CpuScheduler _scheduler;
    private readonly Action _kick;
    private volatile bool _granted, _interrupted;
    private volatile bool _leaveRequested;
    private volatile bool _held;
    private int _threadId;
    private int _isToBeWoken;

    internal WorldPermit(CpuScheduler scheduler, World world, Action kick, bool haltsInside)
    {
        _scheduler = scheduler;
        _kick = kick;
        World = world;
        HaltsInside = haltsInside;
        BoundNode = scheduler.Topology.NodeCount == 1 ? 0 : -1;
        world.Tag = this;
    }

    /// <summary>It has a processor and was not asked to leave it.</summary>
    public bool MayGoOn => _held && !_leaveRequested;

    internal World World { get; }

    /// <summary>The thread that uses it; 0 before the first time, and where the operating system's numbers are not known.</summary>
    internal int ThreadId => Volatile.Read(ref _threadId);

    /// <summary>What the thread is bound to: its machine's affinity, a node, and a slot or none; by the scheduler.</summary>
    internal ProcessorSet? BoundTo { get; set; }

    internal int BoundNode { get; set; }

    internal int BoundSlot { get; set; } = NoSlot;

    /// <summary>The backend does not come back when the guest halts: only the thread's processor time shows that it has.</summary>
    internal bool HaltsInside { get; }

    /// <summary>The scheduler has seen that the guest is halted inside the backend, and has taken the processor back.</summary>
    internal bool IsHaltedInside { get; set; }

    /// <summary>Processor time of the thread when it last left a contended processor, ns.</summary>
    internal long UsedAtStop { get; set; }

    /// <summary>Processor time of the thread when it was last asked for what was stolen of it, ns.</summary>
    internal long UsedSeen { get; set; }

    /// <summary>Processor time of the thread at the last look, and when that was, ns.</summary>
    internal long LastUsed { get; set; }

    internal long LastLook { get; set; }

    /// <summary>
    /// Waits for a processor, giving way first if it was asked to. False when <see cref="Interrupt"/> ended the wait; then it has none.
    /// </summary>
    public bool Acquire()
    {
        if (MayGoOn)
        {
            return true;
        }

        if (_threadId == 0)
        {
            Volatile.Write(ref _threadId, ThreadTime.CurrentThread);
        }

        _held = _scheduler.Request(this) || WaitForGrant();
        return _held;
    }

    /// <summary>Gives the processor back, if it has one: nothing to do (idle), or not wanted for another reason (blocked).</summary>
    public void Release(WorldState next)
    {
        if (_held || World.State != next)
        {
            _held = false;
            _scheduler.Withdraw(this, next);
        }
    }

    /// <summary>Ends a wait in <see cref="Acquire"/>, now or the next. Any thread.</summary>
    public void Interrupt()
    {
        _interrupted = true;
        _wake.Set();
    }

    /// <summary>Processor time that the operating system counted for the thread, ns; negative when it does not say.</summary>
    internal long UsedTime => ThreadTime.Of(_threadId);

    /// <summary>The thread sleeps in the kernel.</summary>
    internal bool IsAsleep => ThreadTime.IsAsleep(_threadId);

    /// <summary>By the scheduler: the thread is to leave its processor.</summary>
    internal void RequestLeave()
    {
        _leaveRequested = true;
        _kick();
    }

    /// <summary>The next of those that are to be woken.</summary>
    internal WorldPermit? NextGranted { get; set; }

    /// <summary>By the scheduler: the thread has a processor now.</summary>
    /// <returns>It is to be woken; false when somebody is about to do that already.</returns>
    internal bool Grant()
    {
        _granted = true;

        // A barrier as well: whoever wakes it has not done so yet, or it sees that it was granted a processor.
        return Interlocked.Exchange(ref _isToBeWoken, 1) == 0;
    }

    /// <summary>Wakes the thread, which was granted a processor.</summary>
    internal void WakeUp()
    {
        Volatile.Write(ref _isToBeWoken, 0);
        _wake.Set();
    }

    /// <summary>By the scheduler, before the thread's request is looked at: nothing asked earlier counts.</summary>
    internal void Clear()
    {
        _leaveRequested = false;
        _granted = false;
        IsHaltedInside = false;
    }

    private bool WaitForGrant()
    {
        while (!_granted && !_interrupted)
        {
            _wake.Wait(-1);
        }

        _interrupted = false;
        if (_granted)
        {
            return true;
        }

        // Granted since: then the processor goes to somebody else.
        _scheduler.Withdraw(this, WorldState.Blocked);
        return false;
    }
}
