using System.Globalization;
using System.Reflection;
using Hypervisor.Cmdlets.Hosting;

namespace Hypervisor.Shell.Output;

/// <summary>Writes a table as wide as its content, cut at the width of the terminal.</summary>
internal static class TableWriter
{
    private const char Ellipsis = '…';

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

        WriteRow([.. columns.Select(static column => column.Label)], columns, widths, writer, width);
        WriteRow([.. columns.Select(static column => new string('-', column.Label.Length))], columns, widths, writer, width);
        foreach (string[] row in cells)
        {
            WriteRow(row, columns, widths, writer, width);
        }

        writer.WriteLine();
    }

    private static string TextOf(object? value, string? format) =>
        format is not null && value is IFormattable number ? number.ToString(format, CultureInfo.InvariantCulture) : ValueText.ForPeople(value);

    private static void WriteRow(string[] cells, IReadOnlyList<ViewColumn> columns, int[] widths, TextWriter writer, int width)
    {
        string line = string.Join(' ', cells.Select((cell, index) => columns[index].RightAligned ? cell.PadLeft(widths[index]) : cell.PadRight(widths[index]))).TrimEnd();
        writer.WriteLine(width > 1 && line.Length > width ? line[..(width - 1)] + Ellipsis : line);
    }
}
