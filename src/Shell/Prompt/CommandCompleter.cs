using System.Buffers;
using System.Management.Automation;
using System.Reflection;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Shell.Commands;
using Hypervisor.Shell.Language;

namespace Hypervisor.Shell.Prompt;

/// <summary>What could stand at the cursor.</summary>
/// <param name="Start">Where the word begins that they replace.</param>
/// <param name="Candidates">What it could be, in order.</param>
internal sealed record Completion(int Start, IReadOnlyList<string> Candidates);

/// <summary>Proposes commands, parameters, values of enumerations, names of machines and files.</summary>
internal static class CommandCompleter
{
    private static readonly SearchValues<char> NeedQuotes = SearchValues.Create(" \t'\"$|;,(){}&<>`@#");
    private static readonly string[] Words = ["help", "exit", Shortcuts.Top];

    /// <summary>Completes the word before the cursor.</summary>
    public static Completion Complete(string line, int cursor)
    {
        List<(string Text, int Start)> words = WordsOfCommand(line, cursor);
        (string word, int start) = words[^1];
        if (words.Count == 1)
        {
            return new Completion(start, [.. CommandCatalog.All.Select(static command => command.Name).Concat(Words).Where(name => Begins(name, word))]);
        }

        if (string.Equals(words[0].Text, "help", StringComparison.OrdinalIgnoreCase))
        {
            return new Completion(start, [.. CommandCatalog.All.Select(static command => command.Name).Where(name => Begins(name, word))]);
        }

        if (CommandCatalog.Find(words[0].Text) is not { } command)
        {
            return new Completion(start, []);
        }

        if (word.StartsWith('-'))
        {
            IEnumerable<string> names = command.Parameters.Select(static parameter => parameter.Name).Concat(CommonParameters.NamesFor(command));
            return new Completion(start, [.. names.Where(name => Begins(name, word[1..])).Select(static name => "-" + name)]);
        }

        // In a list only its last item is completed.
        int comma = word.LastIndexOf(',') + 1;
        string item = word[comma..].Trim('\'', '"');
        return new Completion(start + comma, [.. Values(ParameterAt(command, words), item).Select(Quoted)]);
    }

    private static ParameterDefinition? ParameterAt(CommandDefinition command, List<(string Text, int Start)> words)
    {
        if (TakesValue(command, words[^2].Text) is { } named)
        {
            return named;
        }

        // Otherwise the value is positional: the first parameter with a position that was not named.
        string set = command.DefaultSet ?? command.Sets[0];
        int values = Enumerable.Range(1, words.Count - 2).Count(i => !words[i].Text.StartsWith('-') && TakesValue(command, words[i - 1].Text) is null);
        return command.Parameters.Where(parameter => parameter.UseIn(set)?.Position is not null)
            .OrderBy(parameter => parameter.UseIn(set)!.Position)
            .ElementAtOrDefault(values);
    }

    // The parameter that a word names, if a value follows it.
    private static ParameterDefinition? TakesValue(CommandDefinition command, string word)
    {
        if (!word.StartsWith('-') || word.Length < 2)
        {
            return null;
        }

        ParameterDefinition? named = command.Parameters.FirstOrDefault(parameter => parameter.Answers(word[1..]))
            ?? command.Parameters.FirstOrDefault(parameter => Begins(parameter.Name, word[1..]));
        return named is { IsSwitch: false } ? named : null;
    }

    private static IEnumerable<string> Values(ParameterDefinition? parameter, string beginning)
    {
        if (parameter is null)
        {
            return [];
        }

        if (parameter.ItemType.IsEnum)
        {
            return Enum.GetNames(parameter.ItemType).Where(name => Begins(name, beginning));
        }

        CustomAttributeData? set = parameter.Attributes.FirstOrDefault(static data => data.AttributeType == typeof(ValidateSetAttribute));
        if (set is not null)
        {
            return AttributeValues.Strings(set).Where(value => Begins(value, beginning));
        }

        CustomAttributeData? completer = parameter.Attributes.FirstOrDefault(static data => data.AttributeType == typeof(ArgumentCompleterAttribute));
        if (completer?.ConstructorArguments[0].Value is Type type && Activator.CreateInstance(type) is IValueCompleter source)
        {
            return source.Complete(beginning, null);
        }

        return parameter.Name.EndsWith("Path", StringComparison.Ordinal) ? Files(beginning) : [];
    }

    private static IEnumerable<string> Files(string beginning)
    {
        string folder = Path.GetDirectoryName(beginning) is { Length: > 0 } named ? named : beginning.StartsWith('/') ? "/" : ".";
        try
        {
            return [.. Directory.EnumerateFileSystemEntries(folder, Path.GetFileName(beginning) + "*")
                .Select(entry => folder == "." && !beginning.StartsWith('.') ? Path.GetFileName(entry) : entry)
                .Order(StringComparer.Ordinal)];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return [];
        }
    }

    private static bool Begins(string text, string beginning) => text.StartsWith(beginning, StringComparison.OrdinalIgnoreCase);

    private static string Quoted(string value) =>
        value.AsSpan().IndexOfAny(NeedQuotes) < 0 ? value : $"'{value.Replace("'", "''", StringComparison.Ordinal)}'";

    // The words of the command that the cursor is in: after the last pipe or semicolon outside quotes. The last word may be empty.
    private static List<(string Text, int Start)> WordsOfCommand(string line, int cursor)
    {
        var words = new List<(string, int)>();
        int start = -1;
        char quote = '\0';
        for (int i = 0; i < cursor; i++)
        {
            char character = line[i];
            if (quote != '\0')
            {
                quote = character == quote ? '\0' : quote;
            }
            else if (character is '|' or ';')
            {
                words.Clear();
                start = -1;
            }
            else if (char.IsWhiteSpace(character))
            {
                if (start >= 0)
                {
                    words.Add((line[start..i], start));
                    start = -1;
                }
            }
            else
            {
                start = start < 0 ? i : start;
                quote = character is '\'' or '"' ? character : '\0';
            }
        }

        words.Add(start >= 0 ? (line[start..cursor], start) : ("", cursor));
        return words;
    }
}
