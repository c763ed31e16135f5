using Hypervisor.Shell.Commands;
using Hypervisor.Shell.Language;

namespace Hypervisor.Shell.Execution;

/// <summary>What to say about a name that is no command.</summary>
internal static class UnknownCommand
{
    private static readonly string[] PowerShellVerbs =
        ["Where", "ForEach", "Select", "Sort", "Group", "Measure", "Format", "Out", "Export", "Import", "ConvertTo", "ConvertFrom", "Write", "Compare", "Tee"];

    public static UsageException Named(string name)
    {
        if (name.Contains('=', StringComparison.Ordinal) || PowerShellVerbs.Contains(name.Split('-')[0], StringComparer.OrdinalIgnoreCase))
        {
            return UsageException.NeedsPowerShell($"'{name}' is not a command of hv.");
        }

        string? nearest = Spelling.Nearest(name, CommandCatalog.All.Select(static command => command.Name));
        string hint = nearest is null ? "" : $" Did you mean {nearest}?";
        return new UsageException($"There is no command '{name}'.{hint} hv help lists the commands.");
    }
}
