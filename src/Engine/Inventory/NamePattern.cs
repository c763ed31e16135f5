namespace Hypervisor.Engine.Inventory;

/// <summary>A name with wildcards as PowerShell has them: <c>*</c>, <c>?</c>, <c>[a-z]</c>; a backtick takes the next character as it is. Case does not matter.</summary>
public sealed class NamePattern
{
    private readonly string _pattern;

    /// <summary>Takes a pattern.</summary>
    public NamePattern(string pattern)
    {
        ArgumentNullException.ThrowIfNull(pattern);
        _pattern = pattern;
        HasWildcards = ContainsWildcards(pattern);
    }

    /// <summary>The pattern may match more than one name.</summary>
    public bool HasWildcards { get; }

    /// <summary>A name without wildcards stands for itself.</summary>
    public static bool ContainsWildcards(string pattern) => pattern.AsSpan().IndexOfAny('*', '?', '[') >= 0;

    /// <summary>The whole name matches.</summary>
    public bool IsMatch(string name)
    {
        ArgumentNullException.ThrowIfNull(name);

        // A machine called "a[1]" is found by exactly that name too.
        return string.Equals(_pattern, name, StringComparison.OrdinalIgnoreCase) || (HasWildcards && Match(_pattern, name));
    }

    // Greedy matching with one remembered star: linear in practice, quadratic at worst, no recursion.
    private static bool Match(ReadOnlySpan<char> pattern, ReadOnlySpan<char> name)
    {
        int p = 0, n = 0, star = -1, resume = 0;
        while (n < name.Length)
        {
            if (p < pattern.Length && pattern[p] == '*')
            {
                star = p++;
                resume = n;
            }
            else if (p < pattern.Length && MatchOne(pattern, ref p, name[n]))
            {
                n++;
            }
            else if (star >= 0)
            {
                p = star + 1;
                n = ++resume;
            }
            else
            {
                return false;
            }
        }

        while (p < pattern.Length && pattern[p] == '*')
        {
            p++;
        }

        return p == pattern.Length;
    }

    // Moves the position past what matched; leaves it where it is otherwise.
    private static bool MatchOne(ReadOnlySpan<char> pattern, ref int position, char character)
    {
        switch (pattern[position])
        {
            case '?':
                position++;
                return true;
            case '`' when position + 1 < pattern.Length:
                if (!Same(pattern[position + 1], character))
                {
                    return false;
                }

                position += 2;
                return true;
            case '[' when pattern[position..].IndexOf(']') is > 1 and int end:
                if (!InSet(pattern.Slice(position + 1, end - 1), character))
                {
                    return false;
                }

                position += end + 1;
                return true;
            default:
                if (!Same(pattern[position], character))
                {
                    return false;
                }

                position++;
                return true;
        }
    }

    private static bool InSet(ReadOnlySpan<char> set, char character)
    {
        char wanted = char.ToUpperInvariant(character);
        for (int i = 0; i < set.Length; i++)
        {
            if (i + 2 < set.Length && set[i + 1] == '-')
            {
                if (wanted >= char.ToUpperInvariant(set[i]) && wanted <= char.ToUpperInvariant(set[i + 2]))
                {
                    return true;
                }

                i += 2;
            }
            else if (Same(set[i], character))
            {
                return true;
            }
        }

        return false;
    }

    private static bool Same(char a, char b) => char.ToUpperInvariant(a) == char.ToUpperInvariant(b);
}
