using System.Collections.Concurrent;
using System.Reflection;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Monitoring.Screen;

namespace Hypervisor.Cmdlets.Console;

/// <summary>The columns of EsxTop's screen: those of the rows' table view, so that a new panel needs none of its own.</summary>
internal static class TopColumns
{
    private static readonly ConcurrentDictionary<Type, IReadOnlyList<TopColumn>> Known = new();

    /// <summary>Columns for a type of rows; of a type without a view, its properties.</summary>
    public static IReadOnlyList<TopColumn> Of(Type rows) => Known.GetOrAdd(rows, static type =>
    {
        PropertyInfo[] properties = type.GetProperties(BindingFlags.Public | BindingFlags.Instance);
        IReadOnlyList<ViewColumn> view = ViewCatalog.AllFor(type)
            ?? [.. properties.Select(static property => new ViewColumn(property.Name, property.Name, property.PropertyType.IsValueType))];
        return
        [
            .. view.Select(column => (Column: column, Property: Array.Find(properties, property => property.Name == column.Property)))
                .Where(static pair => pair.Property is not null)
                .Select(static pair => new TopColumn(pair.Column.Label, pair.Column.Property, pair.Column.RightAligned, pair.Column.Format, row => pair.Property!.GetValue(row))),
        ];
    });
}
