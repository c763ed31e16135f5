using System.Management.Automation;
using Hypervisor.Cmdlets.Console;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Cmdlets;

/// <summary>
/// Wait-VMConsoleText: waits until a guest writes something. Each wait goes on after what the last one found, so that waits and
/// Send-VMConsoleText in turn make a conversation.
/// </summary>
/// <example>
/// <code>Wait-VMConsoleText web 'login:' -TimeoutSeconds 120</code>
/// Waits for the login prompt.
/// </example>
/// <example>
/// <code>(Wait-VMConsoleText web -Pattern 'inet (\S+)').Groups[1]</code>
/// Takes an address out of what the guest writes.
/// </example>
[Cmdlet(VerbsLifecycle.Wait, "VMConsoleText", DefaultParameterSetName = ForText)]
[OutputType(typeof(ConsoleMatch))]
public sealed class WaitVMConsoleTextCommand : HypervisorCmdlet
{
    private const string ForText = "Text", ForPattern = "Pattern";
    private const int DefaultTimeoutSeconds = 60;
    private const int LinesInError = 5;

    /// <summary>Machines, or their names.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Text to wait for, exactly.</summary>
    [Parameter(Mandatory = true, Position = 1, ParameterSetName = ForText)]
    [ValidateNotNullOrEmpty]
    public string Text { get; set; } = "";

    /// <summary>Regular expression to wait for.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ForPattern)]
    [ValidateNotNullOrEmpty]
    public string Pattern { get; set; } = "";

    /// <summary>Longest wait, seconds; then an error shows what came instead.</summary>
    [Parameter]
    [ValidateRange(1, int.MaxValue / 1000)]
    public int TimeoutSeconds { get; set; } = DefaultTimeoutSeconds;

    /// <summary>Looks at everything since power-on, not only at what came after the last find.</summary>
    [Parameter]
    public SwitchParameter FromStart { get; set; }

    private protected override void Process()
    {
        foreach (VirtualMachine machine in Resolve(VM))
        {
            Attempt(machine, () => Wait(machine));
        }
    }

    private void Wait(VirtualMachine machine)
    {
        if (ConsoleAccess.Find(this, machine) is not { } session)
        {
            return;
        }

        bool byPattern = IsBound(nameof(Pattern));
        long position = IsOn(FromStart) ? 0 : session.SearchPosition;
        ConsoleSearch search = byPattern
            ? ConsoleSearch.ForPattern(session.Console, Pattern, position)
            : ConsoleSearch.ForText(session.Console, Text, position);
        ConsoleMatch? match = search.WaitAsync(TimeSpan.FromSeconds(TimeoutSeconds), UserStop).GetAwaiter().GetResult();
        if (match is not null)
        {
            session.SearchPosition = match.EndPosition;
            Emit(match);
            return;
        }

        if (session.Console.IsCompleted)
        {
            session.WaitForEnd(UserStop);
        }

        string why = session.Console.IsCompleted ? "powered off" : $"ran for {TimeoutSeconds} seconds";
        string lines = search.LastLines(LinesInError);
        string came = lines.Length == 0 ? "Nothing came." : $"The last that came:{Environment.NewLine}{lines}";
        Complain(new CommandError(
            new TimeoutException($"'{machine.Name}' {why} without writing '{(byPattern ? Pattern : Text)}'. {came}"), "TextNotFound", ErrorCategory.OperationTimeout, machine));
    }
}
