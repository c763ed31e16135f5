using Hypervisor.Shell;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Shell;

public sealed class QuickstartProgressTests : IDisposable
{
    private readonly ManualTimeProvider _time = new();
    private readonly StringWriter _screen = new() { NewLine = "\n" };

    public void Dispose() => _screen.Dispose();

    [Fact]
    public void A_log_gets_a_line_every_five_seconds_of_a_step()
    {
        using var progress = new QuickstartProgress(_screen, null, _time);
        progress.Step("one");
        _time.Advance(TimeSpan.FromSeconds(3));
        progress.Step("two");
        _time.Advance(TimeSpan.FromSeconds(5));
        _time.Advance(TimeSpan.FromSeconds(5));
        progress.End();
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal("» one\n» two\n  … 5 s\n  … 10 s\n", _screen.ToString().ReplaceLineEndings("\n"));
    }

    [Fact]
    public void On_a_terminal_the_time_counts_up_in_its_row()
    {
        using var progress = new QuickstartProgress(_screen, static () => 80, _time);
        progress.Step("one");
        _time.Advance(TimeSpan.FromSeconds(1));
        _time.Advance(TimeSpan.FromSeconds(1));
        progress.End();
        Assert.Equal("» one\r\e[K» one … 1 s\r\e[K» one … 2 s\r\e[K» one … 2 s\n", _screen.ToString());
    }

    [Fact]
    public void A_step_wider_than_the_terminal_is_left_alone()
    {
        using var progress = new QuickstartProgress(_screen, static () => 8, _time);
        progress.Step("a long step");
        _time.Advance(TimeSpan.FromSeconds(2));
        progress.End();
        Assert.Equal("» a long step\n", _screen.ToString());
    }
}
