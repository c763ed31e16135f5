using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Sees to it that a process does not lose running machines silently when it ends.</summary>
internal static class ProcessEnd
{
    /// <summary>How long guests may take to shut down when the process ends.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(10);

    private static int _watching;

    /// <summary>Begins to watch for the end of the process; further calls do nothing.</summary>
    public static void Watch()
    {
        if (Interlocked.Exchange(ref _watching, 1) == 0)
        {
            AppDomain.CurrentDomain.ProcessExit += static (_, _) => ShutDownEverything(static message => System.Console.Error.WriteLine(message));
        }
    }

    /// <summary>Shuts down, and after <see cref="Grace"/> powers off, every machine that this process runs.</summary>
    public static void ShutDownEverything(Action<string> say)
    {
        foreach (HypervisorHost host in HypervisorHost.OpenHosts)
        {
            host.ShutDownAll(Grace, say);
        }
    }
}
