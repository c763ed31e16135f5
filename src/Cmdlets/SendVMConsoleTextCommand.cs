using System.Management.Automation;
using System.Text;
using Hypervisor.Cmdlets.Console;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Send-VMConsoleText: types into a machine's serial console.</summary>
/// <example>
/// <code>Send-VMConsoleText web 'uname -a'</code>
/// Types a command and the Enter key.
/// </example>
[Cmdlet(VerbsCommunications.Send, "VMConsoleText", SupportsShouldProcess = true)]
public sealed class SendVMConsoleTextCommand : HypervisorCmdlet
{
    private const int LongestWaitSeconds = 60;

    /// <summary>Machines, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>What to type; the Enter key follows.</summary>
    [Parameter(Mandatory = true, Position = 1)]
    [AllowEmptyString]
    public string Text { get; set; } = "";

    /// <summary>No Enter key follows.</summary>
    [Parameter]
    public SwitchParameter NoNewline { get; set; }

    private protected override void Process()
    {
        // A terminal's Enter key sends a carriage return.
        byte[] keys = Encoding.UTF8.GetBytes(IsOn(NoNewline) ? Text : Text + "\r");
        foreach (VirtualMachine machine in Resolve(VM))
        {
            if (MayChange(machine.Name, "Type into the console"))
            {
                Attempt(machine, () => Send(machine, keys));
            }
        }
    }

    private void Send(VirtualMachine machine, byte[] keys)
    {
        if (ConsoleAccess.Find(this, machine) is not { } session)
        {
            return;
        }

        if (session.Console.IsCompleted)
        {
            throw new PowerStateException($"'{machine.Name}' is powered off.");
        }

        using var source = CancellationTokenSource.CreateLinkedTokenSource(UserStop);
        source.CancelAfter(TimeSpan.FromSeconds(LongestWaitSeconds));
        try
        {
            session.Console.SendAsync(keys, source.Token).GetAwaiter().GetResult();
        }
        catch (OperationCanceledException) when (!UserStop.IsCancellationRequested)
        {
            throw new TimeoutException($"'{machine.Name}' has not read its serial console for {LongestWaitSeconds} seconds.");
        }
    }
}
