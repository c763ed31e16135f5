using Hypervisor.Shell.Language;

namespace Hypervisor.Tests.Unit.Shell;

public sealed class ScriptReaderTests
{
    [Fact]
    public void A_command_is_there_before_the_next_line_is_read()
    {
        var lines = new CountingReader("Get-VM\nStop-VM web");
        using IEnumerator<IReadOnlyList<PipelineSyntax>> commands = ScriptReader.Read(lines).GetEnumerator();
        Assert.True(commands.MoveNext());
        Assert.Equal(("Get-VM", 1), (Assert.Single(commands.Current).Commands[0].Name, lines.Lines));
        Assert.True(commands.MoveNext());
        Assert.Equal("Stop-VM", Assert.Single(commands.Current).Commands[0].Name);
        Assert.False(commands.MoveNext());
    }

    [Theory]
    [InlineData("Get-VM |\n Stop-VM")]
    [InlineData("Set-VM web -Notes 'one\ntwo'")]
    [InlineData("Set-VM web -Notes \"one\ntwo\"")]
    [InlineData("Set-VM web -AdvancedSetting @{\n debugExit.port = 0xf4\n}")]
    [InlineData("Set-VM web -DiskPath a,\n b")]
    [InlineData("Set-VM web -DiskPath @('a'\n 'b')")]
    [InlineData("Set-VM web `\n -NumCpu 2")]
    public void A_command_of_several_lines_is_one(string text)
    {
        IReadOnlyList<PipelineSyntax>[] read = [.. ScriptReader.Read(new StringReader(text + "\n# done\nGet-Task")).Where(static pipelines => pipelines.Count > 0)];
        Assert.Equal(2, read.Length);
        Assert.Equal("Get-Task", read[1][0].Commands[0].Name);
    }

    [Theory]
    [InlineData("Get-VM 'a", "closing quote")]
    [InlineData("Get-VM |", "each side")]
    [InlineData("Get-VM | | Stop-VM", "each side")]
    [InlineData("Set-VM a -DiskPath b,", "last comma")]
    public void What_makes_no_sense_at_the_end_is_refused_and_what_stood_before_was_given(string text, string message)
    {
        using IEnumerator<IReadOnlyList<PipelineSyntax>> commands = ScriptReader.Read(new StringReader("Get-Task\n" + text)).GetEnumerator();
        Assert.True(commands.MoveNext());
        Assert.Contains(message, Assert.Throws<UsageException>(() => commands.MoveNext()).Message, StringComparison.Ordinal);
    }

    private sealed class CountingReader(string text) : StringReader(text)
    {
        public int Lines { get; private set; }

        public override string? ReadLine()
        {
            Lines++;
            return base.ReadLine();
        }
    }
}
