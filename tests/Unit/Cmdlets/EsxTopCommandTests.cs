using Hypervisor.Tests.Unit.Shell;

namespace Hypervisor.Tests.Unit.Cmdlets;

public sealed class EsxTopCommandTests : IDisposable
{
    private readonly ShellHost _shell = new();

    public void Dispose() => _shell.Dispose();

    [Theory]
    [InlineData("Get-EsxTop -Interactive", "needs a terminal")]
    [InlineData("Get-EsxTop -Interactive -Delay 0.2", "a screen's can be 0.5 to")]
    [InlineData("Get-EsxTop Coffee -Interactive", "There is no panel 'Coffee'")]
    public void What_no_screen_can_be_made_of_is_an_error_that_says_why(string line, string reason)
    {
        // Standard output is none when tests run; a screen would otherwise take the terminal of whoever runs them.
        if (InteractiveTopIsPossible && reason.Contains("terminal", StringComparison.Ordinal))
        {
            return;
        }

        Assert.Empty(_shell.Run(line));
        Assert.False(_shell.Succeeded);
        Assert.Contains(reason, string.Join('\n', _shell.Screen.Lines), StringComparison.Ordinal);
    }

    private static bool InteractiveTopIsPossible => Hypervisor.Cmdlets.Console.InteractiveTop.IsPossible;
}
