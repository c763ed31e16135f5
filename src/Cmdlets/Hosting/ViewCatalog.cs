using System.Reflection;
using System.Xml;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>A column of a table.</summary>
/// <param name="Label">Its header.</param>
/// <param name="Property">The property shown in it.</param>
/// <param name="RightAligned">Numbers stand at the right.</param>
/// <param name="Format">How a number is written; null for as it is.</param>
internal sealed record ViewColumn(string Label, string Property, bool RightAligned, string? Format = null);

/// <summary>The table views of <c>module/Hypervisor.Format.ps1xml</c>, the very file that PowerShell reads; it is embedded here for <c>hv</c> and for screens.</summary>
internal static class ViewCatalog
{
    /// <summary>Name of the second view of a type, with all the columns that do not fit into its default one.</summary>
    private const string All = "All";

    private static readonly Lazy<ILookup<string, View>> Views = new(Read);

    /// <summary>The columns for a type, or null when it has no view.</summary>
    public static IReadOnlyList<ViewColumn>? For(Type type) => Views.Value[type.FullName ?? ""].FirstOrDefault()?.Columns;

    /// <summary>All columns for a type, for where there is room or a choice; null when it has no view.</summary>
    public static IReadOnlyList<ViewColumn>? AllFor(Type type) => Views.Value[type.FullName ?? ""].FirstOrDefault(static view => view.Name == All)?.Columns ?? For(type);

    /// <summary>The property that stands above a table of a type and not in it, with a table for each of its values; null when there is none.</summary>
    public static string? GroupOf(Type type) => Views.Value[type.FullName ?? ""].FirstOrDefault()?.Group;

    private static ILookup<string, View> Read()
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream("Hypervisor.Format.ps1xml")
            ?? throw new InvalidOperationException("The format views are not embedded.");
        var document = new XmlDocument();
        document.Load(stream);
        var views = new List<(string Type, View View)>();
        foreach (XmlElement view in document.SelectNodes("/Configuration/ViewDefinitions/View[TableControl]")!)
        {
            XmlElement[] headers = [.. view.SelectNodes("TableControl/TableHeaders/TableColumnHeader")!.Cast<XmlElement>()];
            XmlElement[] items = [.. view.SelectNodes("TableControl/TableRowEntries/TableRowEntry/TableColumnItems/TableColumnItem")!.Cast<XmlElement>()];
            List<ViewColumn> columns = [.. items.Select((item, index) =>
            {
                string property = item["PropertyName"]!.InnerText;
                return new ViewColumn(headers[index]["Label"]?.InnerText ?? property, property, headers[index]["Alignment"]?.InnerText == "Right", item["FormatString"]?.InnerText);
            })];
            foreach (XmlElement name in view.SelectNodes("ViewSelectedBy/TypeName")!)
            {
                views.Add((name.InnerText, new View(view["Name"]?.InnerText ?? "", view["GroupBy"]?["PropertyName"]?.InnerText, columns)));
            }
        }

        return views.ToLookup(static view => view.Type, static view => view.View, StringComparer.Ordinal);
    }

    private sealed record View(string Name, string? Group, IReadOnlyList<ViewColumn> Columns);
}
