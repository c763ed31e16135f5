using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Console;

/// <summary>Finds the console of a machine, or says why there is none.</summary>
internal static class ConsoleAccess
{
    /// <summary>The console of the machine's present or last run in this process; null after an error was reported.</summary>
    public static ConsoleSession? Find(HypervisorCmdlet cmdlet, VirtualMachine machine)
    {
        if (machine.Host!.FindConsole(machine.Id) is { } session)
        {
            return session;
        }

        VirtualMachine? now = machine.Host.FindMachine(machine.Id);
        string message = now switch
        {
            null => $"The machine '{machine.Name}' does not exist any more.",
            { Holder: { } holder } => $"'{now.Name}' is run by {holder}; its console is there.",
            _ => $"'{now.Name}' is powered off and has no console. Start-VM powers it on.",
        };
        cmdlet.Complain(new CommandError(new PowerStateException(message), "NoConsole", ErrorCategory.InvalidOperation, machine));
        return null;
    }
}
