using System.Globalization;
using System.Text;

namespace Hypervisor.Engine.Monitoring;

/// <summary>
/// Writes what esxtop's batch mode writes: the CSV of Windows' performance monitor. The columns are those of the first interval; what
/// comes later has none, and what goes, or is not known, leaves its columns empty.
/// </summary>
public sealed class PerfmonCsv
{
    private readonly string _host;
    private readonly Dictionary<(string Instance, string Counter), int> _columns = [];

    /// <summary>Writes for a host.</summary>
    public PerfmonCsv(string host) => _host = Instance(host);

    /// <summary>A name as it may stand in an instance: parentheses, slashes and wildcards mean something there.</summary>
    public static string Instance(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return name.Replace('(', '[').Replace(')', ']').Replace('\\', '_').Replace('/', '_').Replace('#', '_').Replace('*', '_');
    }

    /// <summary>The lines for an interval: the heading too, the first time.</summary>
    /// <param name="utc">When it ended.</param>
    /// <param name="values">What was found.</param>
    public IEnumerable<string> Lines(DateTime utc, IEnumerable<EsxTopValue> values)
    {
        EsxTopValue[] all = [.. values];
        if (_columns.Count == 0)
        {
            foreach (EsxTopValue value in all)
            {
                _columns.TryAdd((value.Instance, value.Counter), _columns.Count);
            }

            yield return Line(_columns.Keys.Select(column => $@"\\{_host}\{column.Instance}\{column.Counter}").Prepend("(PDH-CSV 4.0) (UTC)(0)"));
        }

        string[] fields = new string[_columns.Count];
        Array.Fill(fields, " ");
        foreach (EsxTopValue value in all)
        {
            if (!double.IsNaN(value.Value) && _columns.TryGetValue((value.Instance, value.Counter), out int column))
            {
                fields[column] = value.Value.ToString("0.00", CultureInfo.InvariantCulture);
            }
        }

        yield return Line(fields.Prepend(utc.ToString("MM/dd/yyyy HH:mm:ss", CultureInfo.InvariantCulture)));
    }

    private static string Line(IEnumerable<string> fields)
    {
        var line = new StringBuilder();
        foreach (string field in fields)
        {
            line.Append(line.Length == 0 ? "\"" : ",\"").Append(field.Replace("\"", "\"\"", StringComparison.Ordinal)).Append('"');
        }

        return line.ToString();
    }
}
