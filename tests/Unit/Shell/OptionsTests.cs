using Hypervisor.Shell;
using Hypervisor.Shell.Language;
using Hypervisor.Shell.Output;

namespace Hypervisor.Tests.Unit.Shell;

public sealed class OptionsTests
{
    [Theory]
    [InlineData("--output", "json", "Get-VM", "a")]
    [InlineData("--output=json", "Get-VM", "a")]
    [InlineData("Get-VM", "a", "--output", "json")]
    [InlineData("Get-VM", "--output=JSON", "a")]
    public void The_output_format_stands_before_or_behind_the_command(params string[] arguments)
    {
        ShellOptions options = ShellOptions.Parse(arguments);
        Assert.Equal(OutputFormat.Json, options.Output);
        Assert.Equal(["Get-VM", "a"], options.Words);
    }

    [Fact]
    public void One_word_with_blanks_is_a_text_of_commands()
    {
        ShellOptions options = ShellOptions.Parse(["Get-VM web | Stop-VM", "--output", "csv"]);
        Assert.Equal(("Get-VM web | Stop-VM", OutputFormat.Csv), (options.Command, options.Output));
        Assert.Empty(options.Words);
        Assert.Null(ShellOptions.Parse(["Get-VM", "my machine"]).Command);
    }

    [Fact]
    public void An_unknown_format_is_refused_with_those_there_are() =>
        Assert.Contains("table, list, json, csv", Assert.Throws<UsageException>(() => ShellOptions.Parse(["Get-VM", "--output", "xml"])).Message, StringComparison.Ordinal);
}
