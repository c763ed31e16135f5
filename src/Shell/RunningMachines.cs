using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Shell.Execution;

namespace Hypervisor.Shell;

/// <summary>What becomes of machines that still run when hv ends.</summary>
internal static class RunningMachines
{
    /// <summary>In a terminal asks; elsewhere shuts them down in order and says so.</summary>
    public static void LeaveInOrder(IScreen screen)
    {
        string[] names = Names();
        if (names.Length == 0)
        {
            return;
        }

        if (screen.CanAsk)
        {
            Ask(names);
        }

        ProcessEnd.ShutDownEverything(Console.Error.WriteLine);
    }

    private static string[] Names() =>
        [.. HypervisorHost.OpenHosts.SelectMany(static host => host.GetMachinesRunningHere()).Select(static machine => machine.Name)];

    private static void Ask(string[] names)
    {
        while (true)
        {
            Console.Error.Write($"{string.Join(", ", names)} still run{(names.Length == 1 ? "s" : "")} and end{(names.Length == 1 ? "s" : "")} with hv. [S]hut down, power off at once [K], or [W]ait until off? (default: shut down) ");
            switch (Console.In.ReadLine()?.Trim().ToUpperInvariant())
            {
                case "" or "S" or null:
                    return;
                case "K":
                    Each(static (host, machine) => host.PowerOff(machine));
                    return;
                case "W":
                    while (Names().Length > 0)
                    {
                        Thread.Sleep(200);
                    }

                    return;
            }
        }
    }

    private static void Each(Func<HypervisorHost, VirtualMachine, VITask> operation)
    {
        foreach (HypervisorHost host in HypervisorHost.OpenHosts)
        {
            foreach (VirtualMachine machine in host.GetMachinesRunningHere())
            {
                operation(host, machine).Completion.ContinueWith(static _ => { }, TaskScheduler.Default).Wait();
            }
        }
    }
}
