using System.Globalization;
using System.Text;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>
/// Turns the difference of two screens into what a terminal is sent (ECMA-48): only cells that changed are written again. The alternate
/// screen and the cursor are xterm's private modes, which every terminal of today has.
/// </summary>
/// <param name="colours">False leaves colours out, as NO_COLOR asks for; bold and reverse stay.</param>
internal sealed class ScreenPainter(bool colours)
{
    /// <summary>Switches to the alternate screen, empty, without a cursor and without wrapping.</summary>
    public const string Enter = "\e[?1049h\e[?25l\e[?7l\e[0m\e[2J";

    /// <summary>Puts everything back.</summary>
    public const string Leave = "\e[0m\e[?7h\e[?25h\e[?1049l";

    private const string Reset = "\e[0m", Erase = "\e[0m\e[2J";

    private ScreenBuffer? _shown;

    /// <summary>Forgets what the terminal shows: the next picture is painted whole.</summary>
    public void Forget() => _shown = null;

    /// <summary>What the terminal is to be sent so that it shows the screen; empty when it does. The buffer is the painter's from then on.</summary>
    public string Paint(ScreenBuffer next)
    {
        var text = new StringBuilder();
        if (_shown is not { } shown || shown.Width != next.Width || shown.Height != next.Height)
        {
            shown = new ScreenBuffer(next.Width, next.Height);
            text.Append(Erase);
        }

        CellStyle style = CellStyle.Plain;
        for (int y = 0; y < next.Height; y++)
        {
            // Where the cursor stands in this line, as far as it is known.
            int cursor = -1;
            for (int x = 0; x < next.Width; x++)
            {
                ScreenCell cell = next[x, y];
                bool isWide = x + 1 < next.Width && next[x + 1, y].IsContinuation;
                if (cell.IsContinuation || (cell == shown[x, y] && (!isWide || shown[x + 1, y].IsContinuation)))
                {
                    continue;
                }

                if (cursor != x)
                {
                    text.Append(CultureInfo.InvariantCulture, $"\e[{y + 1};{x + 1}H");
                }

                if (cell.Style != style)
                {
                    style = cell.Style;
                    text.Append(Reset).Append(Sequence(style));
                }

                text.Append(cell.Rune.ToString());
                cursor = x + (isWide ? 2 : 1);
            }
        }

        if (style != CellStyle.Plain)
        {
            text.Append(Reset);
        }

        _shown = next;
        return text.ToString();
    }

    private string Sequence(CellStyle style) => (style, colours) switch
    {
        (CellStyle.Title, _) => "\e[1m",
        (CellStyle.Header, _) => "\e[7m",
        (CellStyle.Sorted, _) => "\e[1;7m",
        (CellStyle.Alert, true) => "\e[1;31m",
        (CellStyle.Alert, false) => "\e[1m",
        (CellStyle.Note, true) => "\e[36m",
        (CellStyle.Prompt, true) => "\e[1;33m",
        (CellStyle.Prompt, false) => "\e[1m",
        _ => "",
    };
}
