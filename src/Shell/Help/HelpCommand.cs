using Hypervisor.Shell.Commands;
using Hypervisor.Shell.Execution;

namespace Hypervisor.Shell.Help;

/// <summary><c>hv help</c> and <c>hv help Get-VM</c>.</summary>
internal static class HelpCommand
{
    /// <summary>Writes help; returns the exit code.</summary>
    public static int Run(IReadOnlyList<string> words, TextWriter writer)
    {
        if (words.Count == 0)
        {
            Overview(writer);
            return 0;
        }

        CommandDefinition command = CommandCatalog.Find(words[0]) ?? throw UnknownCommand.Named(words[0]);
        writer.WriteLine(command.Name);
        return 0;
    }

    private static void Overview(TextWriter writer)
    {
        foreach (CommandDefinition command in CommandCatalog.All)
        {
            writer.WriteLine($"  {command.Name}");
        }
    }
}
