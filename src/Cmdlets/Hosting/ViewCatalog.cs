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
    private static readonly Lazy<Dictionary<string, IReadOnlyList<ViewColumn>>> Views = new(Read);

    /// <summary>The columns for a type, or null when it has no view.</summary>
    public static IReadOnlyList<ViewColumn>? For(Type type) => Views.Value.GetValueOrDefault(type.FullName ?? "");

    private static Dictionary<string, IReadOnlyList<ViewColumn>> Read()
    {
        using Stream stream = Assembly.GetExecutingAssembly().GetManifestResourceStream("Hypervisor.Format.ps1xml")
            ?? throw new InvalidOperationException("The format views are not embedded.");
        var document = new XmlDocument();
        document.Load(stream);
        var views = new Dictionary<string, IReadOnlyList<ViewColumn>>(StringComparer.Ordinal);
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
                views.TryAdd(name.InnerText, columns);
            }
        }

        return views;
    }
}
