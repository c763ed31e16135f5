using Hypervisor.Cmdlets.Hosting;
using System.Text.Json;
using System.Xml;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring.Statistics;
using Hypervisor.Shell.Output;
using Hypervisor.Tests.Unit.Inventory;

namespace Hypervisor.Tests.Unit.Shell;

public sealed class ResultWriterTests : IDisposable
{
    private readonly TemporaryHost _temporary = new();

    public void Dispose() => _temporary.Dispose();

    [Fact]
    public void A_table_has_the_columns_that_PowerShell_shows()
    {
        _temporary.Create("a");
        _temporary.Create("longer name");
        string[] lines = Write(OutputFormat.Default).Split(Environment.NewLine);
        Assert.Equal(
            ["Name        PowerState Num CPUs MemoryGB", "----        ---------- -------- --------", "a           PoweredOff        1     0.25", "longer name PoweredOff        1     0.25"],
            lines[..4]);
    }

    [Fact]
    public void Every_view_names_properties_that_exist()
    {
        using Stream stream = typeof(ViewCatalog).Assembly.GetManifestResourceStream("Hypervisor.Format.ps1xml")!;
        var document = new XmlDocument();
        document.Load(stream);
        foreach (XmlElement view in document.SelectNodes("//View")!)
        {
            Type type = typeof(HypervisorHost).Assembly.GetType(view.SelectSingleNode("ViewSelectedBy/TypeName")!.InnerText, throwOnError: true)!;
            Assert.NotNull(ViewCatalog.For(type));
            Assert.All(ViewCatalog.For(type)!, column => Assert.NotNull(type.GetProperty(column.Property)));
            Assert.All(ViewCatalog.AllFor(type)!, column => Assert.NotNull(type.GetProperty(column.Property)));
        }
    }

    [Fact]
    public void Panels_fit_into_80_columns_with_room_for_a_name_and_all_of_their_columns_are_in_another_view()
    {
        const int Usable = 79, Name = 12;
        using Stream stream = typeof(ViewCatalog).Assembly.GetManifestResourceStream("Hypervisor.Format.ps1xml")!;
        var document = new XmlDocument();
        document.Load(stream);
        XmlElement[] panels = [.. document.SelectNodes("//View[starts-with(Name, 'EsxTop')]")!.Cast<XmlElement>().Where(static view => !view["Name"]!.InnerText.EndsWith("Counter", StringComparison.Ordinal) && !view["Name"]!.InnerText.EndsWith("Topology", StringComparison.Ordinal))];
        Assert.Equal(7, panels.Length);
        foreach (XmlElement view in panels)
        {
            XmlElement[] headers = [.. view.SelectNodes("TableControl/TableHeaders/TableColumnHeader")!.Cast<XmlElement>()];
            int[] widths = [.. headers.Select(static header => header["Width"] is { } width ? int.Parse(width.InnerText, System.Globalization.CultureInfo.InvariantCulture) : Name)];
            Assert.InRange(widths.Sum() + widths.Length - 1, 0, Usable);

            // PowerShell writes rows as they come when the first column has a width, and a header that does not fit takes two lines.
            Assert.NotNull(headers[0]["Width"]);
            Assert.All(headers.Zip(widths), static pair => Assert.True(pair.First["Label"]!.InnerText.Length <= pair.Second, pair.First["Label"]!.InnerText));
            Type type = typeof(HypervisorHost).Assembly.GetType(view.SelectSingleNode("ViewSelectedBy/TypeName")!.InnerText, throwOnError: true)!;
            Assert.True(ViewCatalog.AllFor(type)!.Count >= ViewCatalog.For(type)!.Count);
            Assert.Empty(ViewCatalog.For(type)!.Select(static column => column.Property).Except(ViewCatalog.AllFor(type)!.Select(static column => column.Property)));
        }
    }

    [Fact]
    public void Json_is_an_array_whatever_the_number()
    {
        Assert.Equal(0, JsonDocument.Parse(Write(OutputFormat.Json)).RootElement.GetArrayLength());
        _temporary.Create("a", machine => machine with { Notes = "ä \"q\" \u0007", AdvancedSettings = new Dictionary<string, string> { ["sched.mem.pshare.salt"] = "1" } });
        JsonElement machine = JsonDocument.Parse(Write(OutputFormat.Json)).RootElement[0];
        Assert.Equal(("ä \"q\" \u0007", 0.25m), (machine.GetProperty("Notes").GetString(), machine.GetProperty("MemoryGB").GetDecimal()));
        Assert.Equal("1", machine.GetProperty("ExtensionData").GetProperty("Config").GetProperty("AdvancedSettings").GetProperty("sched.mem.pshare.salt").GetString());
    }

    [Fact]
    public void Csv_quotes_what_needs_quotes()
    {
        _temporary.Create("a,b \"c\"", machine => machine with { Notes = "two\nlines" });
        string text = Write(OutputFormat.Csv);
        Assert.StartsWith("Name,Id,PowerState", text, StringComparison.Ordinal);
        Assert.Contains("\"a,b \"\"c\"\"\"", text, StringComparison.Ordinal);
        Assert.Contains("\"two\nlines\"", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_note_cannot_move_the_cursor()
    {
        _temporary.Create("a", machine => machine with { Notes = "\u001b[2Jgone" });
        Assert.DoesNotContain('\u001b', Write(OutputFormat.List));
    }

    [Fact]
    public void A_narrow_terminal_cuts_lines()
    {
        _temporary.Create("a");
        Assert.All(Write(OutputFormat.Table, width: 20).Split(Environment.NewLine), static line => Assert.InRange(line.Length, 0, 20));
    }

    [Theory]
    [InlineData(0, "Name               Count Text Note                        Total", "a-rather-long-name 12345 yes  some words of no importance   6.5")]
    [InlineData(62, "Name               Count Text Note                       Total", "a-rather-long-name 12345 yes  some words of no importan…   6.5")]
    [InlineData(40, "Name        Count Text Note        Total", "a-rather-l… 12345 yes  some words…   6.5")]
    [InlineData(37, "Name         Count Text Note", "a-rather-lo… 12345 yes  some words o…")]
    [InlineData(20, "Name           Count", "a-rather-long… 12345")]
    [InlineData(6, "Name", "a-rat…")]
    public void In_a_narrow_terminal_texts_are_shortened_and_then_columns_left_out_but_no_number_is_cut(int width, string header, string row)
    {
        using var writer = new StringWriter();
        ViewColumn[] columns = [new("Name", "Name", false), new("Count", "Count", true), new("Text", "Text", false), new("Note", "Note", false), new("Total", "Total", true, "0.0")];
        TableWriter.Write([new Row("a-rather-long-name", 12345, "yes", "some words of no importance", 6.5)], columns, writer, width);
        string[] lines = writer.ToString().Split(Environment.NewLine);
        Assert.Equal((header, row), (lines[0], lines[2]));
    }

    [Fact]
    public void What_a_view_groups_by_stands_above_the_tables_as_in_PowerShell()
    {
        StatisticsSample Sample(string entity, double value) =>
            new(entity, entity, StatisticsCounters.CpuUsage, "", StatisticsInterval.Realtime, DateTimeOffset.UnixEpoch, value);
        using var writer = new StringWriter();
        ResultWriter.Write([Sample("a", 1.5), Sample("a", 2), Sample("b", 3)], OutputFormat.Default, writer, 80);
        string[] lines = writer.ToString().Split(Environment.NewLine);
        Assert.Equal(("   Entity: a", "", "   Entity: b"), (lines[0], lines[1], lines[7]));
        Assert.StartsWith("MetricId ", lines[2], StringComparison.Ordinal);
        Assert.StartsWith("cpu.usage.average ", lines[5], StringComparison.Ordinal);
        Assert.StartsWith("cpu.usage.average ", lines[11], StringComparison.Ordinal);
    }

    private sealed record Row(string Name, int Count, string Text, string Note, double Total);

    private string Write(OutputFormat format, int width = 0)
    {
        using var writer = new StringWriter();
        ResultWriter.Write([.. _temporary.Host.GetMachines()], format, writer, width);
        return writer.ToString();
    }
}
