using Hypervisor.Shell.Commands;
using Hypervisor.Shell.Execution;
using Hypervisor.Shell.Language;
using Hypervisor.Shell.Output;

namespace Hypervisor.Shell.Help;

/// <summary><c>hv help</c> and <c>hv help Get-VM</c>.</summary>
internal static class HelpCommand
{
    private const int Indent = 4;

    /// <summary>Writes help; returns the exit code.</summary>
    public static int Run(IReadOnlyList<string> words, TextWriter writer)
    {
        switch (words)
        {
            case []:
                Overview(writer);
                break;
            case ["--maml"]:
                writer.Write(MamlWriter.Write());
                break;
            case [{ } word, ..] when string.Equals(word, "quickstart", StringComparison.OrdinalIgnoreCase):
                DescribeQuickstart(writer);
                break;
            default:
                CommandDefinition command = CommandCatalog.Find(Shortcuts.ResolveName(words[0])) ?? throw UnknownCommand.Named(words[0]);
                Describe(command, writer);
                break;
        }

        return 0;
    }

    /// <summary>Writes what quickstart does and takes.</summary>
    public static void DescribeQuickstart(TextWriter writer) => writer.WriteLine($"""
        {QuickstartOptions.Usage}

        Boots a stock Debian kernel with a small initramfs, both made of packages that apt downloads into a cache; nothing is installed
        and root is not needed. In a terminal it hands over the guest's console: Ctrl-] leaves it and powers the guest off. Elsewhere it
        runs "uname -a" in the guest, prints the answer, the backend and the boot time, and powers the guest off.

          -KernelPath, -InitrdPath   another kernel and initial RAM disk; needed where there is no apt
          -Backend                   what runs the guest; the best there is when not given
          -MemoryMB, -NumCpu         the guest's size

        Exit code: 0 the guest ran, 1 it did not, 130 interrupted. XDG_CACHE_HOME names another place for the cache.
        """);

    private static void Overview(TextWriter writer)
    {
        writer.WriteLine("""
            hv, the hypervisor's shell: the commands of its PowerShell module, without PowerShell.

              hv                               a prompt
              hv <command> [parameters]        one command
              hv -Command 'A | B; C'           several commands, connected by pipes
              hv < file                        commands from a file or a pipe, run as their lines come
              hv top                           what machines do, on a full screen (Get-EsxTop -Interactive)
              hv quickstart                    boots a small Linux, from nothing
              hv help [command]                help

            Options:
              --output table|list|json|csv     how results are written; may also stand last
              --host-path <folder>             where machines are kept (else HYPERVISOR_HOME, else the user's data folder)
              --version

            Exit code: 0 all went well, 1 there was an error, 2 what was typed made no sense.
            The language is commands, parameters, pipes and literals. For scripts: pwsh, Import-Module Hypervisor.

            Commands:
            """);
        int width = CommandCatalog.All.Max(static command => command.Name.Length);
        foreach (CommandDefinition command in CommandCatalog.All)
        {
            writer.WriteLine($"  {command.Name.PadRight(width)}  {new CommandDocumentation(command).Synopsis}");
        }
    }

    private static void Describe(CommandDefinition command, TextWriter writer)
    {
        var documentation = new CommandDocumentation(command);
        int width = Console.IsOutputRedirected ? 100 : Math.Clamp(Console.WindowWidth, 40, 120);
        Section(writer, "NAME", [command.Name], width);
        Section(writer, "DESCRIPTION", [documentation.Description], width);
        Section(writer, "SYNTAX", command.Sets.Select(documentation.Syntax), width);
        writer.WriteLine("PARAMETERS");
        foreach (ParameterDefinition parameter in command.Parameters)
        {
            string type = parameter.IsSwitch ? "" : $" <{CommandDocumentation.TypeName(parameter.Type)}>";
            string aliases = parameter.Aliases.Count == 0 ? "" : $"  (alias {string.Join(", ", parameter.Aliases.Select(static alias => "-" + alias))})";
            writer.WriteLine($"    -{parameter.Name}{type}{aliases}");
            Wrapped(writer, documentation.Of(parameter), 2 * Indent, width);
            if (parameter.ItemType.IsEnum)
            {
                Wrapped(writer, $"Possible: {string.Join(", ", Enum.GetNames(parameter.ItemType))}.", 2 * Indent, width);
            }
        }

        if (command.SupportsShouldProcess)
        {
            writer.WriteLine("    -WhatIf, -Confirm");
            Wrapped(writer, "Shows what would be done; asks before it is done.", 2 * Indent, width);
        }

        writer.WriteLine();
        writer.WriteLine("EXAMPLES");
        foreach (CommandExample example in documentation.Examples)
        {
            writer.WriteLine($"    {example.Code}");
            Wrapped(writer, example.Remark, 2 * Indent, width);
        }
    }

    private static void Section(TextWriter writer, string title, IEnumerable<string> paragraphs, int width)
    {
        writer.WriteLine(title);
        foreach (string paragraph in paragraphs)
        {
            Wrapped(writer, paragraph, Indent, width);
        }

        writer.WriteLine();
    }

    private static void Wrapped(TextWriter writer, string text, int indent, int width)
    {
        var line = new System.Text.StringBuilder(new string(' ', indent));
        foreach (string word in ValueText.OnOneLine(text).Split(' '))
        {
            if (line.Length + word.Length >= width && line.Length > indent)
            {
                writer.WriteLine(line.ToString().TrimEnd());
                line.Clear().Append(' ', indent);
            }

            line.Append(word).Append(' ');
        }

        writer.WriteLine(line.ToString().TrimEnd());
    }
}
