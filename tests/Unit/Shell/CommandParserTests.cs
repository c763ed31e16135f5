using System.Collections;
using Hypervisor.Shell.Language;

namespace Hypervisor.Tests.Unit.Shell;

public sealed class CommandParserTests
{
    [Fact]
    public void Pipes_semicolons_and_lines_separate_commands()
    {
        IReadOnlyList<PipelineSyntax> pipelines = CommandParser.Parse("Get-VM a | Start-VM ;Get-VM\n# a comment\nGet-Task |\n Wait-Task # done");
        Assert.Equal([["Get-VM", "Start-VM"], ["Get-VM"], ["Get-Task", "Wait-Task"]], pipelines.Select(static pipeline => pipeline.Commands.Select(static command => command.Name).ToArray()));
    }

    [Theory]
    [InlineData("'it''s $x | y'", "it's $x | y")]
    [InlineData("\"a`tb `\"c`\" \"\"d\"\" `$x\"", "a\tb \"c\" \"d\" $x")]
    [InlineData("\"costs 5$\"", "costs 5$")]
    [InlineData("web*[1-3]?", "web*[1-3]?")]
    [InlineData("C:\\disks\\a.raw", "C:\\disks\\a.raw")]
    [InlineData("a` b", "a b")]
    [InlineData("/tmp/'with blank'/x", "/tmp/with blank/x")]
    [InlineData("-5", "-5")]
    [InlineData("007", "007")]
    public void Literals_are_read_as_PowerShell_reads_them(string text, string value) =>
        Assert.Equal(value, Assert.Single(Arguments(text)).Value);

    [Fact]
    public void Constants_are_values_and_not_text()
    {
        Assert.Equal([true, false, null], Arguments("$true $FALSE $null").Select(static argument => argument.Value));
        Assert.Equal(false, Arguments("-Confirm:$false")[0].Value);
    }

    [Fact]
    public void Commas_make_lists()
    {
        Assert.Equal((object?[])["a", "b c", true], Arguments("a, 'b c',$true")[0].Value);
        Assert.Equal((object?[])["a", "b"], Arguments("@('a', 'b')")[0].Value);
        Assert.Empty((object?[])Arguments("@()")[0].Value!);
        Assert.Equal(2, Arguments("a b").Count);
    }

    [Fact]
    public void A_table_has_names_and_values()
    {
        var table = (Hashtable)Arguments("@{ debugExit.port = 0xf4; 'a b'=$null\n c = 'x' }")[0].Value!;
        Assert.Equal(3, table.Count);
        Assert.Equal(("0xf4", "x"), (table["DEBUGEXIT.PORT"], table["c"]));
        Assert.Null(table["a b"]);
    }

    [Theory]
    [InlineData("Get-VM | Where-Object { $_.Name }")]
    [InlineData("$vm = Get-VM")]
    [InlineData("Get-VM $name")]
    [InlineData("Get-VM \"$name\"")]
    [InlineData("(Get-VM).Name")]
    [InlineData("if (1) { Get-VM }")]
    [InlineData("foreach ($x in 1..3) {}")]
    [InlineData("Get-VM > out.txt")]
    [InlineData("Get-VM && Get-Task")]
    [InlineData("'text'")]
    [InlineData("& Get-VM")]
    public void What_needs_an_interpreter_points_to_PowerShell(string text) =>
        Assert.Contains("PowerShell", Assert.Throws<UsageException>(() => CommandParser.Parse(text)).Message, StringComparison.Ordinal);

    [Theory]
    [InlineData("Get-VM 'a")]
    [InlineData("Get-VM \"a")]
    [InlineData("Get-VM |")]
    [InlineData("| Get-VM")]
    [InlineData("Get-VM | | Start-VM")]
    [InlineData("Get-VM a,")]
    [InlineData("New-VM @{a=1")]
    [InlineData("New-VM @{a}")]
    [InlineData("New-VM @{a=1;A=2}")]
    [InlineData("New-VM @(1")]
    [InlineData("Get-VM -Name:")]
    [InlineData("Get-VM `")]
    public void What_is_incomplete_is_said_to_be(string text) =>
        Assert.Throws<UsageException>(() => CommandParser.Parse(text));

    [Fact]
    public void Words_of_the_systems_command_line_make_a_pipeline_too()
    {
        PipelineSyntax pipeline = CommandParser.FromWords(["Get-VM", "a b", "|", "Stop-VM", "-Kill", "-Confirm:$false"]);
        Assert.Equal(["Get-VM", "Stop-VM"], pipeline.Commands.Select(static command => command.Name));
        Assert.Equal(new SystemWord("a b"), pipeline.Commands[0].Arguments[0].Value);
        Assert.Equal(("Confirm", true, false), (pipeline.Commands[1].Arguments[1].Parameter, pipeline.Commands[1].Arguments[1].HasValue, pipeline.Commands[1].Arguments[1].Value));
        Assert.Throws<UsageException>(() => CommandParser.FromWords(["Get-VM", "|"]));
    }

    private static IReadOnlyList<ArgumentSyntax> Arguments(string text) => Assert.Single(Assert.Single(CommandParser.Parse("X-Y " + text)).Commands).Arguments;
}
