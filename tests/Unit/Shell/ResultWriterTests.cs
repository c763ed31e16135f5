using Hypervisor.Cmdlets.Hosting;
using System.Text.Json;
using System.Xml;
using Hypervisor.Engine.Inventory;
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
        }
    }

    [Fact]
    public void Json_is_an_array_whatever_the_number()
    {
        Assert.Equal(0, JsonDocument.Parse(Write(OutputFormat.Json)).RootElement.GetArrayLength());
        _temporary.Create("a", machine => machine with { Notes = "ä \"q\" \u0007", AdvancedSettings = new Dictionary<string, string> { ["x"] = "1" } });
        JsonElement machine = JsonDocument.Parse(Write(OutputFormat.Json)).RootElement[0];
        Assert.Equal(("ä \"q\" \u0007", 0.25m), (machine.GetProperty("Notes").GetString(), machine.GetProperty("MemoryGB").GetDecimal()));
        Assert.Equal("1", machine.GetProperty("ExtensionData").GetProperty("Config").GetProperty("AdvancedSettings").GetProperty("x").GetString());
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

    private string Write(OutputFormat format, int width = 0)
    {
        using var writer = new StringWriter();
        ResultWriter.Write([.. _temporary.Host.GetMachines()], format, writer, width);
        return writer.ToString();
    }
}
