using Hypervisor.Shell.Commands;
using Hypervisor.Shell.Language;

namespace Hypervisor.Tests.Unit.Shell;

public sealed class ShortcutTests
{
    [Fact]
    public void Top_is_the_screen_of_Get_EsxTop_with_what_stands_behind_it()
    {
        CommandSyntax command = Assert.Single(Shortcuts.Resolve(CommandParser.FromWords(["Top", "Disk", "-Delay", "3"])).Commands);
        Assert.Equal("Get-EsxTop", command.Name);
        Assert.Equal(["Delay", "Interactive"], command.Arguments.Select(static argument => argument.Parameter).OfType<string>());
        Assert.NotNull(CommandCatalog.Find(Shortcuts.ResolveName("top")));
    }

    [Fact]
    public void Other_words_and_pipelines_stay_as_they_are()
    {
        PipelineSyntax pipeline = Assert.Single(CommandParser.Parse("Get-VM | top"));
        Assert.Same(pipeline, Shortcuts.Resolve(pipeline));
        Assert.Equal("topper", Shortcuts.ResolveName("topper"));
    }
}
