namespace Hypervisor.Cmdlets.Console;

/// <summary>Whether standard input may be passed to a guest, or is read by the shell itself as its script.</summary>
internal static class StandardInputOwner
{
    /// <summary>Set by <c>hv</c> while it reads commands from standard input.</summary>
    public static bool IsReadByShell { get; set; } = IsReadByPowerShell();

    /// <summary>There is redirected input, and nobody else reads it.</summary>
    public static bool IsFree => System.Console.IsInputRedirected && !IsReadByShell;

    // "pwsh -Command -", "pwsh -File -" and pwsh without a command take their script from standard input.
    private static bool IsReadByPowerShell()
    {
        string[] arguments = Environment.GetCommandLineArgs();
        if (!Path.GetFileNameWithoutExtension(arguments[0]).Equals("pwsh", StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        bool hasCommand = arguments.Skip(1).Any(static argument =>
            argument.StartsWith("-c", StringComparison.OrdinalIgnoreCase)
            || argument.StartsWith("-e", StringComparison.OrdinalIgnoreCase) && !argument.StartsWith("-ex", StringComparison.OrdinalIgnoreCase)
            || argument.StartsWith("-f", StringComparison.OrdinalIgnoreCase)
            || argument.EndsWith(".ps1", StringComparison.OrdinalIgnoreCase));
        return !hasCommand || arguments.Contains("-");
    }
}
