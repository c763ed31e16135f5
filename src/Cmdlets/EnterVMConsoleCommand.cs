using System.Management.Automation;
using Hypervisor.Cmdlets.Console;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>
/// Enter-VMConsole: in a terminal, types into a machine's serial console; where there is no terminal, streams the console to standard
/// output until the machine powers off. A serial line does not carry the terminal's size: in a guest, "stty rows 30 cols 100" sets it.
/// </summary>
/// <example>
/// <code>Enter-VMConsole web</code>
/// Types into the machine's console; Ctrl-] leaves it.
/// </example>
/// <example>
/// <code>Start-VM web | Enter-VMConsole -TimeoutSeconds 300 &gt; web.log</code>
/// Writes the console of a whole run to a file.
/// </example>
[Cmdlet(VerbsCommon.Enter, "VMConsole")]
public sealed class EnterVMConsoleCommand : HypervisorCmdlet
{
    /// <summary>The machine, or its name.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Leaves after so many seconds; without it, when the machine is off.</summary>
    [Parameter]
    [ValidateRange(1, int.MaxValue / 1000)]
    public int TimeoutSeconds { get; set; }

    private protected override void Process()
    {
        foreach (VirtualMachine machine in Resolve(VM))
        {
            Attempt(machine, () => Enter(machine));
        }
    }

    private void Enter(VirtualMachine machine)
    {
        if (ConsoleAccess.Find(this, machine) is not { } session)
        {
            return;
        }

        TimeSpan? timeout = IsBound(nameof(TimeoutSeconds)) ? TimeSpan.FromSeconds(TimeoutSeconds) : null;
        if (!System.Console.IsInputRedirected && !System.Console.IsOutputRedirected)
        {
            new InteractiveConsole(session, machine.Name).Run(timeout, UserStop);
            return;
        }

        using Stream output = System.Console.OpenStandardOutput();
        if (!new ConsoleStreamer(session, output, StandardInputOwner.IsFree).Run(timeout, UserStop))
        {
            Complain(new CommandError(
                new TimeoutException($"'{machine.Name}' did not power off within {TimeoutSeconds} seconds; it still runs."), "Timeout", ErrorCategory.OperationTimeout, machine));
        }
    }
}
