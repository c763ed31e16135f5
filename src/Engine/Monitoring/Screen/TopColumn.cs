using System.Collections;
using System.Globalization;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>A column of a panel.</summary>
/// <param name="Label">Its header, esxtop's name.</param>
/// <param name="Property">The property of the rows that it shows.</param>
/// <param name="RightAligned">Numbers stand at the right.</param>
/// <param name="Format">How a number is written; null for as it is.</param>
/// <param name="Value">Reads it from a row.</param>
internal sealed record TopColumn(string Label, string Property, bool RightAligned, string? Format, Func<IEsxTopRow, object?> Value)
{
    private const string Unknown = "-";

    /// <summary>The column that says what the line is about: its width can be set.</summary>
    public bool IsName => Property == nameof(IEsxTopRow.Name);

    /// <summary>Whether a name that somebody types may be found here.</summary>
    public bool IsIdentity => IsName || Label is "ID" or "GID" or "PORT-ID";

    /// <summary>The value for a person; what is not known is a hyphen.</summary>
    public string Text(IEsxTopRow row) => Value(row) switch
    {
        null => RightAligned ? Unknown : "",
        string text => text,
        IFormattable number => number.ToString(Format, CultureInfo.InvariantCulture),
        IEnumerable list => string.Join(", ", list.Cast<object?>().Select(static item => Convert.ToString(item, CultureInfo.InvariantCulture))),
        object other => other.ToString() ?? "",
    };

    /// <summary>The value as a number to sort by; null when it is none.</summary>
    public double? Number(IEsxTopRow row) => Value(row) switch
    {
        string or null => null,
        IConvertible number when number is not bool and not char and not DateTime => Convert.ToDouble(number, CultureInfo.InvariantCulture),
        _ => null,
    };
}
