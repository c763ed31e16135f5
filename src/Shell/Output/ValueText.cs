using System.Collections;
using System.Globalization;

namespace Hypervisor.Shell.Output;

/// <summary>Values as text for people and for CSV.</summary>
internal static class ValueText
{
    /// <summary>One line for a person.</summary>
    public static string ForPeople(object? value) => value switch
    {
        null => "",
        string text => text,
        bool flag => flag ? "True" : "False",
        DateTimeOffset time => time.ToLocalTime().ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
        DateTime time => time.ToString("yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture),
        decimal number => number.ToString("0.###", CultureInfo.InvariantCulture),
        IDictionary table => "{" + string.Join(", ", table.Cast<DictionaryEntry>().Select(static e => $"{e.Key}={ForPeople(e.Value)}")) + "}",
        IEnumerable list => "{" + string.Join(", ", list.Cast<object?>().Select(ForPeople)) + "}",
        IFormattable formattable => formattable.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };

    /// <summary>For programs: times with their offset, lists separated by spaces.</summary>
    public static string ForPrograms(object? value) => value switch
    {
        DateTimeOffset time => time.ToString("o", CultureInfo.InvariantCulture),
        DateTime time => time.ToString("o", CultureInfo.InvariantCulture),
        IEnumerable list and not string and not IDictionary => string.Join(' ', list.Cast<object?>().Select(ForPrograms)),
        _ => ForPeople(value),
    };

    /// <summary>Takes out what would move the cursor or ring the bell: names and notes come from anybody.</summary>
    public static string OnOneLine(string text) =>
        text.AsSpan().ContainsAnyInRange('\0', '\u001F') || text.Contains('\u007F', StringComparison.Ordinal)
            ? string.Concat(text.Select(static c => char.IsControl(c) ? ' ' : c))
            : text;
}
