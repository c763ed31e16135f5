using Hypervisor.Shell.Language;
using Hypervisor.Shell.Output;

namespace Hypervisor.Shell;

/// <summary>What stands on hv's command line before the command.</summary>
internal sealed record ShellOptions
{
    private const string OutputOption = "--output";

    public OutputFormat Output { get; private init; }

    public string? HostPath { get; private init; }

    /// <summary>Text given with <c>-Command</c>, or as one word.</summary>
    public string? Command { get; private init; }

    public bool ShowHelp { get; private init; }

    public bool ShowVersion { get; private init; }

    /// <summary>The command and its arguments, when it stands on the command line itself.</summary>
    public IReadOnlyList<string> Words { get; private init; } = [];

    /// <summary>Reads the options up to the first word that is none.</summary>
    /// <exception cref="UsageException">An unknown option, or one without its value.</exception>
    public static ShellOptions Parse(IReadOnlyList<string> arguments)
    {
        var options = new ShellOptions();
        for (int i = 0; i < arguments.Count; i++)
        {
            string argument = arguments[i];
            (string name, string? attached) = argument.StartsWith("--", StringComparison.Ordinal) && argument.IndexOf('=', StringComparison.Ordinal) is > 0 and int equals
                ? (argument[..equals], argument[(equals + 1)..])
                : (argument, null);
            string Value() => attached ?? (++i < arguments.Count ? arguments[i] : throw new UsageException($"{name} needs a value."));
            switch (name.ToUpperInvariant())
            {
                case "--OUTPUT" or "-O":
                    options = options with { Output = Format(Value()) };
                    break;
                case "--HOST-PATH" or "-HOSTPATH":
                    options = options with { HostPath = Value() };
                    break;
                case "-COMMAND" or "-C" or "--COMMAND":
                    options = options with { Command = attached ?? string.Join(' ', arguments.Skip(i + 1)) };
                    return i + 1 < arguments.Count || attached is not null ? options : throw new UsageException("-Command needs commands.");
                case "--HELP" or "-H" or "-?" or "/?":
                    return options with { ShowHelp = true };
                case "--VERSION":
                    return options with { ShowVersion = true };
                default:
                    return argument.StartsWith('-')
                        ? throw new UsageException($"hv has no option '{argument}'. See: hv help")
                        : options.WithWords(arguments.Skip(i));
            }
        }

        return options;
    }

    // PowerShell's parameters have one hyphen, so that behind the command --output can only be ours.
    private ShellOptions WithWords(IEnumerable<string> words)
    {
        List<string> rest = [.. words];
        OutputFormat format = Output;
        for (int i = 1; i < rest.Count;)
        {
            bool alone = rest[i].Equals(OutputOption, StringComparison.OrdinalIgnoreCase);
            if (alone && i + 1 < rest.Count)
            {
                format = Format(rest[i + 1]);
                rest.RemoveRange(i, 2);
            }
            else if (rest[i].StartsWith(OutputOption + "=", StringComparison.OrdinalIgnoreCase))
            {
                format = Format(rest[i][(OutputOption.Length + 1)..]);
                rest.RemoveAt(i);
            }
            else
            {
                i++;
            }
        }

        // hv "Get-VM web | Stop-VM": no command's name has a blank or a pipe in it, so that one word with those is a text of commands.
        return rest is [{ } only] && only.AsSpan().IndexOfAny(" \t\n|;") >= 0
            ? this with { Output = format, Command = only }
            : this with { Output = format, Words = rest };
    }

    private static OutputFormat Format(string text) =>
        Enum.TryParse(text, ignoreCase: true, out OutputFormat format) && Enum.IsDefined(format)
            ? format
            : throw new UsageException($"'{text}' is no output format. There are: table, list, json, csv.");
}
