using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>One run of a machine as seen from its console: what it wrote, and how far a script has read it.</summary>
public sealed class ConsoleSession
{
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
    public MachineStop? Stop { get; private set; }

    internal void End(MachineStop stop) => Stop = stop;
}
