using System.Runtime.InteropServices;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Sees to it that a process does not lose running machines silently when it ends.</summary>
internal static class ProcessEnd
{
    /// <summary>How long guests may take to shut down when the process ends.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);

    // By convention a process that a signal ended reports 128 and the signal's number.
    private const int SignalBase = 128, Hangup = 1, Terminate = 15;

    // Registrations end when they are collected.
    private static readonly List<PosixSignalRegistration> Signals = [];

    private static int _watching;
    private static volatile int _endedBy;

    /// <summary>The exit code of a process that a signal is ending; 0 otherwise.</summary>
    public static int ExitCode => _endedBy;

    /// <summary>Begins to watch for the end of the process; further calls do nothing.</summary>
    public static void Watch()
    {
        if (Interlocked.Exchange(ref _watching, 1) != 0)
        {
            return;
        }

        AppDomain.CurrentDomain.ProcessExit += static (_, _) => ShutDownEverything(Say);

        // The runtime leaves these to the system, which ends the process at once. An interrupt from the keyboard is not among them:
        // it stops a command, and what becomes of the machines is asked afterwards.
        Signals.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, static signal => End(signal, Terminate)));
        Signals.Add(PosixSignalRegistration.Create(PosixSignal.SIGHUP, static signal => End(signal, Hangup)));
    }

    /// <summary>Shuts down, and after <see cref="Grace"/> powers off, every machine that this process runs.</summary>
    public static void ShutDownEverything(Action<string> say)
    {
        foreach (HypervisorHost host in HypervisorHost.OpenHosts)
        {
            host.ShutDownAll(Grace, say);
        }
    }

    private static void End(PosixSignalContext signal, int number)
    {
        signal.Cancel = true;
        _endedBy = SignalBase + number;
        ShutDownEverything(Say);
        Environment.Exit(_endedBy);
    }

    private static void Say(string message)
    {
        try
        {
            System.Console.Error.WriteLine(message);
        }
        catch (IOException)
        {
            // The terminal is gone, which may be why the process ends; the event log tells what became of the machines.
        }
    }
}
