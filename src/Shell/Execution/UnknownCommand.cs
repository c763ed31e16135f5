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

        string? nearest = CommandCatalog.All.Select(static command => command.Name).MinBy(candidate => Distance(candidate, name));
        string hint = nearest is not null && Distance(nearest, name) <= 3 ? $" Did you mean {nearest}?" : "";
        return new UsageException($"There is no command '{name}'.{hint} hv help lists the commands.");
    }

    // Levenshtein's distance, without regard to case.
    private static int Distance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int cost = char.ToUpperInvariant(a[i - 1]) == char.ToUpperInvariant(b[j - 1]) ? 0 : 1;
                (diagonal, row[j]) = (row[j], Math.Min(Math.Min(row[j] + 1, row[j - 1] + 1), diagonal + cost));
            }
        }

        return row[b.Length];
    }
}
