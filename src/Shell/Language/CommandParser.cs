using System.Collections;
using System.Text;

namespace Hypervisor.Shell.Language;

/// <summary>
/// Reads hv's language, the part of PowerShell's that needs no interpreter: commands, parameters, pipes, semicolons, and literals
/// (strings, numbers, <c>$true</c>, <c>$false</c>, <c>$null</c>, lists by comma, <c>@{name = value}</c>).
/// </summary>
internal sealed class CommandParser
{
    private static readonly string[] Keywords =
        ["if", "foreach", "for", "while", "do", "switch", "function", "return", "try", "throw", "param", "class", "using", "begin", "process", "end", "filter", "trap"];

    private readonly string _text;
    private int _position;

    private CommandParser(string text) => _text = text;

    private char Current => _position < _text.Length ? _text[_position] : '\0';

    private char Next => _position + 1 < _text.Length ? _text[_position + 1] : '\0';

    /// <summary>Reads any number of pipelines.</summary>
    /// <exception cref="UsageException">Not hv's language.</exception>
    public static IReadOnlyList<PipelineSyntax> Parse(string text) => new CommandParser(text).Pipelines();

    /// <summary>Takes one command line as the operating system has split it; a lone <c>|</c> is a pipe.</summary>
    /// <exception cref="UsageException">Not hv's language.</exception>
    public static PipelineSyntax FromWords(IReadOnlyList<string> words)
    {
        var commands = new List<CommandSyntax>();
        int start = 0;
        for (int i = 0; i <= words.Count; i++)
        {
            if (i < words.Count && words[i] != "|")
            {
                continue;
            }

            if (i == start)
            {
                throw new UsageException("A pipe needs a command on each side.");
            }

            commands.Add(new CommandSyntax(CheckedName(words[start]), [.. words.Skip(start + 1).Take(i - start - 1).Select(FromWord)]));
            start = i + 1;
        }

        return new PipelineSyntax(commands);
    }

    private static ArgumentSyntax FromWord(string word)
    {
        if (!IsParameter(word))
        {
            return ArgumentSyntax.ForValue(WordValue(word));
        }

        int colon = word.IndexOf(':', StringComparison.Ordinal);
        return colon < 0
            ? ArgumentSyntax.ForParameter(word[1..])
            : ArgumentSyntax.ForParameter(word[1..colon], WordValue(word[(colon + 1)..]));
    }

    private static object? WordValue(string word) => word.ToUpperInvariant() switch
    {
        "$TRUE" => true,
        "$FALSE" => false,
        "$NULL" => null,
        _ when word.StartsWith("@{", StringComparison.Ordinal) => new CommandParser(word).WholeTable(),
        _ => new SystemWord(word),
    };

    private static bool IsParameter(string word) => word.Length > 1 && word[0] == '-' && (char.IsLetter(word[1]) || word[1] == '?');

    private static string CheckedName(string name)
    {
        if (Keywords.Contains(name, StringComparer.OrdinalIgnoreCase))
        {
            throw UsageException.NeedsPowerShell($"'{name}' is a statement of PowerShell.");
        }

        return name;
    }

    private List<PipelineSyntax> Pipelines()
    {
        var pipelines = new List<PipelineSyntax>();
        while (true)
        {
            SkipBlank(lines: true);
            if (Current == '\0')
            {
                return pipelines;
            }

            if (Current == ';')
            {
                _position++;
                continue;
            }

            pipelines.Add(Pipeline());
        }
    }

    private PipelineSyntax Pipeline()
    {
        var commands = new List<CommandSyntax> { Command() };
        while (true)
        {
            SkipBlank(lines: false);
            if (Current != '|')
            {
                return new PipelineSyntax(commands);
            }

            _position++;
            SkipBlank(lines: true);
            if (Current is '|' or '\0' or ';')
            {
                const string Missing = "A pipe needs a command on each side.";
                throw Current == '\0' ? UsageException.Unfinished(Missing) : new UsageException(Missing);
            }

            commands.Add(Command());
        }
    }

    private CommandSyntax Command()
    {
        if (Current == '|')
        {
            throw new UsageException("A pipe needs a command on each side.");
        }

        if (Current is '\'' or '"')
        {
            throw UsageException.NeedsPowerShell("A command begins with its name; a string alone is an expression of PowerShell.");
        }

        string name = CheckedName(BareWord());
        var arguments = new List<ArgumentSyntax>();
        while (true)
        {
            SkipBlank(lines: false);
            if (Current is '\0' or '|' or ';' or '\n' or '\r')
            {
                return new CommandSyntax(name, arguments);
            }

            arguments.Add(Argument());
        }
    }

    private ArgumentSyntax Argument()
    {
        if (Current != '-' || !(char.IsLetter(Next) || Next == '?'))
        {
            return ArgumentSyntax.ForValue(ListOrValue());
        }

        int start = ++_position;
        while (char.IsLetterOrDigit(Current) || Current is '_' or '?')
        {
            _position++;
        }

        string name = _text[start.._position];
        if (Current != ':')
        {
            return ArgumentSyntax.ForParameter(name);
        }

        _position++;
        SkipBlank(lines: false);
        return ArgumentSyntax.ForParameter(name, ListOrValue());
    }

    private object? ListOrValue()
    {
        object? first = Value();
        List<object?>? list = null;
        while (true)
        {
            int before = _position;
            SkipBlank(lines: false);
            if (Current != ',')
            {
                _position = list is null ? before : _position;
                return list is null ? first : list.ToArray();
            }

            _position++;
            SkipBlank(lines: true);
            if (Current == '\0')
            {
                throw UsageException.Unfinished("A value is missing behind the last comma.");
            }

            list ??= [first];
            list.Add(Value());
        }
    }

    private object? Value()
    {
        switch (Current)
        {
            case '\'':
                return SingleQuoted();
            case '"':
                return DoubleQuoted();
            case '@' when Next == '{':
                return Table();
            case '@' when Next == '(':
                return ListInParentheses();
            case '$':
                return Constant();
            case '\0' or '|' or ';' or ',' or '\n' or '\r':
                throw new UsageException("A value is missing.");
            default:
                return BareWord();
        }
    }

    private object? Constant()
    {
        int start = _position++;
        while (char.IsLetterOrDigit(Current) || Current is '_' or ':')
        {
            _position++;
        }

        string word = _text[start.._position];
        return word.ToUpperInvariant() switch
        {
            "$TRUE" => true,
            "$FALSE" => false,
            "$NULL" => null,
            _ => throw UsageException.NeedsPowerShell($"'{(word.Length > 1 ? word : "$" + Current)}' is a variable or an expression."),
        };
    }

    private object?[] ListInParentheses()
    {
        _position += 2;
        var items = new List<object?>();
        while (true)
        {
            SkipBlank(lines: true);
            switch (Current)
            {
                case ')':
                    _position++;
                    return [.. items];
                case ',':
                    _position++;
                    break;
                case '\0':
                    throw UsageException.Unfinished("The list '@(' has no ')'.");
                default:
                    items.Add(Value());
                    break;
            }
        }
    }

    private Hashtable WholeTable()
    {
        Hashtable table = Table();
        SkipBlank(lines: true);
        return Current == '\0' ? table : throw new UsageException($"Behind the table '@{{…}}' stands '{_text[_position..]}'.");
    }

    private Hashtable Table()
    {
        _position += 2;
        var table = new Hashtable(StringComparer.OrdinalIgnoreCase);
        while (true)
        {
            SkipBlank(lines: true);
            switch (Current)
            {
                case '}':
                    _position++;
                    return table;
                case ';':
                    _position++;
                    continue;
                case '\0':
                    throw UsageException.Unfinished("The table '@{' has no '}'.");
            }

            string name = Current switch
            {
                '\'' => SingleQuoted(),
                '"' => DoubleQuoted(),
                _ => BareWord(stopAtEquals: true),
            };
            SkipBlank(lines: false);
            if (Current != '=')
            {
                throw new UsageException($"In a table '@{{…}}' a name is followed by '=' and a value; '{name}' is not.");
            }

            _position++;
            SkipBlank(lines: false);
            if (table.ContainsKey(name))
            {
                throw new UsageException($"The table has '{name}' twice.");
            }

            table[name] = ListOrValue();
        }
    }

    private string SingleQuoted()
    {
        var value = new StringBuilder();
        _position++;
        while (true)
        {
            switch (Current)
            {
                case '\0':
                    throw UsageException.Unfinished("A string has no closing quote (').");
                case '\'' when Next == '\'':
                    value.Append('\'');
                    _position += 2;
                    break;
                case '\'':
                    _position++;
                    return value.ToString();
                default:
                    value.Append(_text[_position++]);
                    break;
            }
        }
    }

    private string DoubleQuoted()
    {
        var value = new StringBuilder();
        _position++;
        while (true)
        {
            switch (Current)
            {
                case '\0':
                    throw UsageException.Unfinished("A string has no closing quote (\").");
                case '"' when Next == '"':
                    value.Append('"');
                    _position += 2;
                    break;
                case '"':
                    _position++;
                    return value.ToString();
                case '`':
                    _position++;
                    value.Append(Escaped());
                    break;
                case '$' when char.IsLetter(Next) || Next is '{' or '(' or '_':
                    throw UsageException.NeedsPowerShell("A '$' in double quotes stands for a variable; in single quotes it stands for itself.");
                default:
                    value.Append(_text[_position++]);
                    break;
            }
        }
    }

    private string BareWord(bool stopAtEquals = false)
    {
        var word = new StringBuilder();
        while (true)
        {
            char character = Current;
            switch (character)
            {
                case '\0' or ' ' or '\t' or '\r' or '\n' or '|' or ';' or ',' or '}' or ')':
                case '=' when stopAtEquals:
                    return word.Length > 0 ? word.ToString() : throw UsageException.NeedsPowerShell($"'{character}' is not expected here.");
                case '`':
                    _position++;
                    word.Append(Escaped());
                    continue;
                case '\'':
                    word.Append(SingleQuoted());
                    continue;
                case '"':
                    word.Append(DoubleQuoted());
                    continue;
                case '$' when char.IsLetter(Next) || Next is '{' or '(' or '_':
                    throw UsageException.NeedsPowerShell($"'{Rest()}' uses a variable.");
                case '(' or '{' or '&' or '<' or '>':
                    throw UsageException.NeedsPowerShell($"'{character}' in '{Rest()}' is not known here.");
                default:
                    word.Append(character);
                    _position++;
                    break;
            }
        }
    }

    private string Rest()
    {
        int end = _text.IndexOfAny([' ', '\n', '|', ';'], _position);
        return _text[_position..(end < 0 ? _text.Length : end)];
    }

    private char Escaped()
    {
        char character = Current;
        if (character == '\0')
        {
            throw new UsageException("A backtick has nothing behind it.");
        }

        _position++;
        return character switch
        {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'e' => '\e',
            'a' => '\a',
            'b' => '\b',
            '0' => '\0',
            _ => character,
        };
    }

    private void SkipBlank(bool lines)
    {
        while (true)
        {
            if (Current is ' ' or '\t' || (lines && Current is '\n' or '\r'))
            {
                _position++;
            }
            else if (Current == '`' && Next is '\n' or '\r')
            {
                _position += Next == '\r' && _position + 2 < _text.Length && _text[_position + 2] == '\n' ? 3 : 2;
            }
            else if (Current == '#')
            {
                while (Current is not ('\0' or '\n'))
                {
                    _position++;
                }
            }
            else
            {
                return;
            }
        }
    }
}
