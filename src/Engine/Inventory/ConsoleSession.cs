using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>One run of a machine as seen from its console: what it wrote, and how far a script has read it.</summary>
public sealed class ConsoleSession
{
    // The last output comes before files are closed and locks given back; whoever waited for the end wants those done too.
    private static readonly TimeSpan ClosingPatience = TimeSpan.FromSeconds(30);

    private readonly TaskCompletionSource<MachineStop> _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _searched;

    internal ConsoleSession(MachineConsole console) => Console = console;

    /// <summary>The serial console.</summary>
    public MachineConsole Console { get; }

    /// <summary>Where the next search begins: after what the last one found, so that a script can wait for one thing after another.</summary>
    public long SearchPosition
    {
        get => Interlocked.Read(ref _searched);
        set => Interlocked.Exchange(ref _searched, value);
    }

    /// <summary>How far the console was shown in the terminal, so that a second visit does not show it all again.</summary>
    public long ShownPosition { get; set; }

    /// <summary>How the run ended; null while it lasts.</summary>
    public MachineStop? Stop => _ended.Task.IsCompletedSuccessfully ? _ended.Task.Result : null;

    /// <summary>Waits, after the last output, until the machine is off for everybody: its files closed and its lock free.</summary>
    public void WaitForEnd(CancellationToken cancellation) => Task.WaitAny([_ended.Task], (int)ClosingPatience.TotalMilliseconds, cancellation);

    internal void End(MachineStop stop) => _ended.TrySetResult(stop);
}
