using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Monitoring.Screen;

namespace Hypervisor.Tests.Unit.Monitoring.Screen;

public sealed class TopSettingsStoreTests : IDisposable
{
    private readonly string _folder = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    private TopSettingsStore Store => new(new HostFolder(_folder));

    public void Dispose()
    {
        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    [Fact]
    public void What_is_written_is_read_and_without_a_file_all_is_as_at_first()
    {
        Assert.Equal("Cpu", Store.Read().Panel);
        var settings = new TopSettings
        {
            Panel = "Network", DelaySeconds = 2.5, Lines = 9, NameLength = 0, OnlyMachines = true,
            Panels = [new TopPanelSettings { Name = "Cpu", Columns = ["NAME", "%USED"], Hidden = ["%SYS"], Sort = "%USED" }],
        };
        Store.Write(settings);
        TopSettings read = Store.Read();
        Assert.Equal(settings with { Panels = read.Panels }, read);
        Assert.Equal(settings.Panels[0].Columns, read.Panels[0].Columns);
        Assert.Equal("%USED", read.Panels[0].Sort);
    }

    [Fact]
    public void What_a_file_does_not_say_is_as_at_first()
    {
        Directory.CreateDirectory(_folder);
        File.WriteAllText(Store.Path, """{"schemaVersion":1,"lines":3,"panels":[{"name":"Disk","sort":"READS/s"}]}""");
        TopSettings read = Store.Read();
        Assert.Equal(new TopSettings { Lines = 3, Panels = read.Panels }, read);
        Assert.Empty(read.Panels[0].Columns);
    }

    [Theory]
    [InlineData("", "JSON")]
    [InlineData("{", "Expected")]
    [InlineData("[]", "it has no schemaVersion")]
    [InlineData("""{"schemaVersion":"1"}""", "")]
    [InlineData("""{"schemaVersion":2}""", "it has schemaVersion 2, and this version of Hypervisor reads 1 to 1")]
    [InlineData("""{"schemaVersion":0}""", "it has schemaVersion 0")]
    [InlineData("""{"schemaVersion":1,"colour":"red"}""", "colour")]
    [InlineData("""{"schemaVersion":1,"delaySeconds":0.1}""", "delaySeconds is 0.1; it can be 0.5 to 86400")]
    [InlineData("""{"schemaVersion":1,"lines":-1}""", "lines is -1; it can be 0 to 10000")]
    [InlineData("""{"schemaVersion":1,"nameLength":1000}""", "nameLength is 1000; it can be 0 to 200")]
    [InlineData("""{"schemaVersion":1,"panel":"Coffee"}""", "there is no panel 'Coffee'")]
    [InlineData("""{"schemaVersion":1,"panel":null}""", "panel")]
    [InlineData("""{"schemaVersion":1,"panels":[null]}""", "")]
    [InlineData("""{"schemaVersion":1,"panels":[{"name":"Tea"}]}""", "there is no panel 'Tea'")]
    [InlineData("""{"schemaVersion":1,"panels":[{"name":"Cpu"},{"name":"Cpu"}]}""", "the panel 'Cpu' stands there twice")]
    [InlineData("""{"schemaVersion":1,"panels":[{"name":"Cpu","columns":[null]}]}""", "")]
    public void Bad_content_is_refused_with_the_file_the_reason_and_the_remedy(string content, string reason)
    {
        Directory.CreateDirectory(_folder);
        File.WriteAllText(Store.Path, content);
        var refusal = Assert.Throws<MachineException>(Store.Read);
        Assert.StartsWith($"'{Store.Path}' cannot be used: ", refusal.Message, StringComparison.Ordinal);
        Assert.Contains(reason, refusal.Message, StringComparison.Ordinal);
        Assert.EndsWith(". W writes a new one.", refusal.Message, StringComparison.Ordinal);
    }
}
