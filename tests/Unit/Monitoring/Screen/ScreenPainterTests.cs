using Hypervisor.Engine.Monitoring.Screen;

namespace Hypervisor.Tests.Unit.Monitoring.Screen;

public sealed class ScreenPainterTests
{
    private static ScreenBuffer Buffer(int width, params string[] lines)
    {
        var buffer = new ScreenBuffer(width, lines.Length);
        for (int y = 0; y < lines.Length; y++)
        {
            buffer.Write(0, y, lines[y]);
        }

        return buffer;
    }

    [Fact]
    public void Only_cells_that_changed_are_written_again()
    {
        var painter = new ScreenPainter(colours: true);
        var terminal = new VirtualTerminal(20, 2);
        terminal.Send(painter.Paint(Buffer(20, "%USED 12.34 web", "%RUN  56.78")));
        Assert.Equal(("%USED 12.34 web", "%RUN  56.78"), (terminal[0], terminal[1]));
        int before = terminal.Written;
        terminal.Send(painter.Paint(Buffer(20, "%USED 12.94 web", "%RUN  5")));
        Assert.Equal(("%USED 12.94 web", "%RUN  5"), (terminal[0], terminal[1]));
        Assert.Equal(5, terminal.Written - before);
        Assert.Empty(painter.Paint(Buffer(20, "%USED 12.94 web", "%RUN  5")));
        painter.Forget();
        Assert.StartsWith("\e[0m\e[2J", painter.Paint(Buffer(20, "%USED 12.94 web", "%RUN  5")), StringComparison.Ordinal);
    }

    [Fact]
    public void A_new_size_is_painted_whole()
    {
        var painter = new ScreenPainter(colours: true);
        painter.Paint(Buffer(20, "a long line of text", "b"));
        var terminal = new VirtualTerminal(6, 1);
        terminal.Send(painter.Paint(Buffer(6, "a long line of text")));
        Assert.Equal("a long", terminal[0]);
    }

    [Fact]
    public void Wide_characters_take_two_cells_and_leave_none_behind()
    {
        var painter = new ScreenPainter(colours: true);
        var terminal = new VirtualTerminal(8, 1);
        terminal.Send(painter.Paint(Buffer(8, "名前ab")));
        Assert.Equal("名前ab", terminal[0]);
        terminal.Send(painter.Paint(Buffer(8, "x名ab")));
        Assert.Equal("x名ab", terminal[0]);
        terminal.Send(painter.Paint(Buffer(8, "abcdefgh")));
        Assert.Equal("abcdefgh", terminal[0]);

        // Half of one has no room: the last cell stays empty.
        terminal.Send(painter.Paint(Buffer(8, "1234567名")));
        Assert.Equal("1234567", terminal[0]);
    }

    [Fact]
    public void Text_cannot_control_the_terminal()
    {
        var terminal = new VirtualTerminal(20, 1);
        terminal.Send(new ScreenPainter(colours: true).Paint(Buffer(20, "a\e[2Jb\u009b\r\n\u202Ec\u0301")));
        Assert.Equal("a [2Jb   c", terminal[0]);
    }

    [Fact]
    public void Without_colours_bold_and_reverse_stay()
    {
        foreach (bool colours in (bool[])[true, false])
        {
            var buffer = new ScreenBuffer(20, 1);
            foreach (CellStyle style in Enum.GetValues<CellStyle>())
            {
                buffer.Write((int)style, 0, "x", style);
            }

            var terminal = new VirtualTerminal(20, 1);
            terminal.Send(new ScreenPainter(colours).Paint(buffer));
            Assert.Equal("", terminal.Style);
            Assert.Equal(colours, terminal.Styles.Any(static style => style.Contains('3', StringComparison.Ordinal)));
            Assert.Contains("7", terminal.Styles);
        }
    }

    [Theory]
    [InlineData("short", 10, "short")]
    [InlineData("exactly-10", 10, "exactly-10")]
    [InlineData("longer than 10", 10, "longer th…")]
    [InlineData("名前名前", 6, "名前…")]
    [InlineData("text", 0, "")]
    public void Text_that_does_not_fit_is_cut(string text, int cells, string expected) => Assert.Equal(expected, TextCells.Cut(text, cells));
}
