using System.Diagnostics;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>A machine that this process runs, and the right to run it.</summary>
internal sealed class RunningMachine : IDisposable
{
    private readonly MachineHold _hold;
    private readonly TaskCompletionSource<MachineStop> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _disposed;

    public RunningMachine(IMachine machine, MachineHold hold)
    {
        Machine = machine;
        _hold = hold;
    }

    public IMachine Machine { get; }

    public Guid Id => Machine.Configuration.Id;

    public DateTimeOffset PoweredOn { get; } = DateTimeOffset.Now;

    /// <summary>The same, ns of a clock that is never set.</summary>
    public long PoweredOnAt { get; } = Stopwatch.GetElapsedTime(0).Ticks * TimeSpan.NanosecondsPerTick;

    /// <summary>Ends when the machine is off, its files are closed and it could be powered on again.</summary>
    public Task<MachineStop> Ended => _ended.Task;

    public void Finish(MachineStop stop) => _ended.TrySetResult(stop);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            try
            {
                Machine.Dispose();
            }
            finally
            {
                _hold.Dispose();
            }
        }
    }
}
