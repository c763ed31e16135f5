using System.Collections;
using System.Reflection;
using System.Text;
using System.Text.Json;
using Hypervisor.Cmdlets.Hosting;

namespace Hypervisor.Shell.Output;

/// <summary>Writes the results of a pipeline in the format asked for.</summary>
internal static class ResultWriter
{
    private const int MaxTableProperties = 4;
    private const int MaxJsonDepth = 5;

    /// <summary>Writes all results.</summary>
    public static void Write(IReadOnlyList<object> results, OutputFormat format, TextWriter writer, int width)
    {
        switch (format)
        {
            case OutputFormat.Json:
                WriteJson(results, writer);
                break;
            case OutputFormat.Csv:
                WriteCsv(results, writer);
                break;
            default:
                WriteForPeople(results, format, writer, width);
                break;
        }
    }

    private static PropertyInfo[] Properties(Type type) =>
        [.. type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Where(static property => property.CanRead && property.GetIndexParameters().Length == 0)];

    private static bool IsPlain(object value) => value is string or bool or Enum or Guid or DateTime or DateTimeOffset or TimeSpan || value.GetType().IsPrimitive || value is decimal;

    private static void WriteForPeople(IReadOnlyList<object> results, OutputFormat format, TextWriter writer, int width)
    {
        // Runs of the same type share a table, in the order in which they came.
        for (int start = 0; start < results.Count;)
        {
            Type type = results[start].GetType();
            int end = start;
            while (end < results.Count && results[end].GetType() == type)
            {
                end++;
            }

            object[] run = [.. results.Skip(start).Take(end - start)];
            start = end;
            if (IsPlain(run[0]))
            {
                foreach (object value in run)
                {
                    writer.WriteLine(ValueText.ForPeople(value));
                }
            }
            else if (format != OutputFormat.List && ColumnsFor(type, format) is { } columns)
            {
                WriteTables(run, columns, writer, width);
            }
            else
            {
                WriteList(run, writer);
            }
        }
    }

    // As PowerShell does: a table for each run of objects with the same value, which stands above it.
    private static void WriteTables(object[] run, IReadOnlyList<ViewColumn> columns, TextWriter writer, int width)
    {
        if (ViewCatalog.GroupOf(run[0].GetType()) is not { } group || run[0].GetType().GetProperty(group) is not { } property)
        {
            TableWriter.Write(run, columns, writer, width);
            return;
        }

        const string Margin = "   ";
        string[] values = [.. run.Select(one => ValueText.OnOneLine(ValueText.ForPeople(property.GetValue(one))))];
        for (int start = 0, end; start < run.Length; start = end)
        {
            for (end = start + 1; end < run.Length && values[end] == values[start];)
            {
                end++;
            }

            writer.WriteLine($"{Margin}{group}: {values[start]}");
            writer.WriteLine();
            TableWriter.Write(run[start..end], columns, writer, width);
        }
    }

    private static IReadOnlyList<ViewColumn>? ColumnsFor(Type type, OutputFormat format)
    {
        if (ViewCatalog.For(type) is { } view)
        {
            return view;
        }

        PropertyInfo[] properties = Properties(type);
        return format == OutputFormat.Table || properties.Length <= MaxTableProperties
            ? [.. properties.Select(static property => new ViewColumn(property.Name, property.Name, false))]
            : null;
    }

    private static void WriteList(object[] values, TextWriter writer)
    {
        foreach (object value in values)
        {
            PropertyInfo[] properties = Properties(value.GetType());
            int width = properties.Max(static property => property.Name.Length);
            foreach (PropertyInfo property in properties)
            {
                writer.WriteLine($"{property.Name.PadRight(width)} : {ValueText.OnOneLine(ValueText.ForPeople(property.GetValue(value)))}");
            }

            writer.WriteLine();
        }
    }

    private static void WriteCsv(IReadOnlyList<object> results, TextWriter writer)
    {
        if (results.Count == 0)
        {
            return;
        }

        // RFC 4180. As PowerShell's Export-Csv does, the first object decides the columns.
        PropertyInfo[] columns = IsPlain(results[0]) ? [] : Properties(results[0].GetType());
        writer.WriteLine(columns.Length == 0 ? "Value" : string.Join(',', columns.Select(static column => Quote(column.Name))));
        foreach (object result in results)
        {
            writer.WriteLine(columns.Length == 0
                ? Quote(ValueText.ForPrograms(result))
                : string.Join(',', columns.Select(column => Quote(result.GetType() == results[0].GetType() ? ValueText.ForPrograms(column.GetValue(result)) : ""))));
        }
    }

    private static string Quote(string text) =>
        text.AsSpan().IndexOfAny(",\"\r\n") < 0 ? text : $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    // Always an array, so that a program need not ask how many there are.
    private static void WriteJson(IReadOnlyList<object> results, TextWriter writer)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            json.WriteStartArray();
            foreach (object result in results)
            {
                WriteValue(json, result, 0);
            }

            json.WriteEndArray();
        }

        writer.WriteLine(Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length));
    }

    private static void WriteValue(Utf8JsonWriter json, object? value, int depth)
    {
        switch (value)
        {
            case null:
                json.WriteNullValue();
                break;
            case string text:
                json.WriteStringValue(text);
                break;
            case bool flag:
                json.WriteBooleanValue(flag);
                break;
            case Enum or Guid:
                json.WriteStringValue(value.ToString());
                break;
            case DateTimeOffset or DateTime:
                json.WriteStringValue(ValueText.ForPrograms(value));
                break;
            case int or long or short or byte or uint or ulong or ushort or sbyte or decimal:
                json.WriteNumberValue(Convert.ToDecimal(value, System.Globalization.CultureInfo.InvariantCulture));
                break;
            case double number when double.IsFinite(number):
                json.WriteNumberValue(number);
                break;
            case Exception or Type:
                json.WriteStringValue(value is Exception exception ? exception.Message : value.ToString());
                break;
            case IEnumerable<KeyValuePair<string, string>> table:
                json.WriteStartObject();
                foreach ((string key, string item) in table)
                {
                    json.WriteString(key, item);
                }

                json.WriteEndObject();
                break;
            case IEnumerable list:
                json.WriteStartArray();
                foreach (object? item in list)
                {
                    WriteValue(json, item, depth + 1);
                }

                json.WriteEndArray();
                break;
            default:
                WriteObject(json, value, depth);
                break;
        }
    }

    private static void WriteObject(Utf8JsonWriter json, object value, int depth)
    {
        if (depth >= MaxJsonDepth || value is Delegate or Task or System.Threading.Lock)
        {
            json.WriteStringValue(value.ToString());
            return;
        }

        json.WriteStartObject();
        foreach (PropertyInfo property in Properties(value.GetType()).Where(static property => property.PropertyType != typeof(Task)))
        {
            json.WritePropertyName(property.Name);
            WriteValue(json, property.GetValue(value), depth + 1);
        }

        json.WriteEndObject();
    }
}
