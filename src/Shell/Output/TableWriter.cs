using System.Globalization;
using System.Reflection;
using Hypervisor.Cmdlets.Hosting;

namespace Hypervisor.Shell.Output;

/// <summary>
/// Writes a table as wide as its content. Where the terminal is narrower, long texts are shortened first, and then columns at the right are
/// left out: a number is shown whole or not at all.
/// </summary>
internal static class TableWriter
{
    private const char Ellipsis = '…';
    private const int LeastText = 10;

    /// <summary>Writes a header, a rule and the rows.</summary>
    /// <param name="rows">Objects of one type.</param>
    /// <param name="columns">What is shown of them.</param>
    /// <param name="writer">Where to.</param>
    /// <param name="width">Columns of the terminal; 0 cuts nothing.</param>
    public static void Write(object[] rows, IReadOnlyList<ViewColumn> columns, TextWriter writer, int width)
    {
        PropertyInfo?[] properties = [.. columns.Select(column => rows[0].GetType().GetProperty(column.Property))];
        string[][] cells = [.. rows.Select(row => properties.Select((property, index) => ValueText.OnOneLine(TextOf(property?.GetValue(row), columns[index].Format))).ToArray())];
        int[] widths = [.. columns.Select((column, index) => Math.Max(column.Label.Length, cells.Max(row => row[index].Length)))];
        if (width > 0)
        {
            widths = Fit(widths, columns, cells, width);
        }

        WriteRow([.. columns.Select(static column => column.Label)], columns, widths, writer);
        WriteRow([.. columns.Select(static column => new string('-', column.Label.Length))], columns, widths, writer);
        foreach (string[] row in cells)
        {
            WriteRow(row, columns, widths, writer);
        }

        writer.WriteLine();
    }

    /// <summary>Widths of the columns that fit, from the left; the others are left out.</summary>
    private static int[] Fit(int[] widths, IReadOnlyList<ViewColumn> columns, string[][] cells, int width)
    {
        // Texts may be shortened down to some letters of their beginning, which names are told apart by; numbers, also in columns of texts, may not.
        int[] least = [.. widths.Select((whole, index) => columns[index].RightAligned || cells.All(row => row[index].Length <= LeastText) ? whole : Math.Min(whole, Math.Max(columns[index].Label.Length, LeastText)))];
        int shown = widths.Length;
        while (shown > 1 && least.Take(shown).Sum() + shown - 1 > width)
        {
            shown--;
        }

        int[] fitted = [.. widths.Take(shown)];
        int excess = fitted.Sum() + shown - 1 - width;
        while (excess > 0)
        {
            // The longest first, so that what is short stays whole.
            int longest = Enumerable.Range(0, shown).Where(index => fitted[index] > least[index]).DefaultIfEmpty(-1).MaxBy(index => index < 0 ? 0 : fitted[index]);
            if (longest < 0)
            {
                // One column alone in a very narrow terminal.
                fitted[0] = Math.Max(1, width);
                break;
            }

            fitted[longest]--;
            excess--;
        }

        return fitted;
    }

    private static string TextOf(object? value, string? format) =>
        format is not null && value is IFormattable number ? number.ToString(format, CultureInfo.InvariantCulture) : ValueText.ForPeople(value);

    private static void WriteRow(string[] cells, IReadOnlyList<ViewColumn> columns, int[] widths, TextWriter writer)
    {
        IEnumerable<string> shown = widths.Select((width, index) =>
        {
            string cell = cells[index].Length > width ? cells[index][..(width - 1)] + Ellipsis : cells[index];
            return columns[index].RightAligned ? cell.PadLeft(width) : cell.PadRight(width);
        });
        writer.WriteLine(string.Join(' ', shown).TrimEnd());
    }
}
