using System.Text;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>How a cell looks; what colours that is, the terminal's side decides.</summary>
internal enum CellStyle : byte
{
    Plain,
    Title,
    Header,
    Sorted,
    Alert,
    Note,
    Prompt,
}

/// <summary>A cell of a screen. The second cell of a wide character has no character of its own.</summary>
internal readonly record struct ScreenCell(Rune Rune, CellStyle Style)
{
    public static readonly ScreenCell Blank = new(new Rune(' '), CellStyle.Plain);

    public bool IsContinuation => Rune.Value == 0;
}

/// <summary>A screen in memory: text is written into cells, cut at the edges, and never wraps.</summary>
internal sealed class ScreenBuffer
{
    private readonly ScreenCell[] _cells;

    public ScreenBuffer(int width, int height)
    {
        (Width, Height) = (Math.Max(1, width), Math.Max(1, height));
        _cells = new ScreenCell[Width * Height];
        Clear();
    }

    public int Width { get; }

    public int Height { get; }

    public ScreenCell this[int x, int y] => _cells[(y * Width) + x];

    public void Clear() => Array.Fill(_cells, ScreenCell.Blank);

    /// <summary>Writes text; what lies outside is cut.</summary>
    /// <param name="x">First column.</param>
    /// <param name="y">Line.</param>
    /// <param name="text">Any text: control characters are made harmless.</param>
    /// <param name="style">How it looks.</param>
    /// <param name="limit">Most cells; text that needs more is cut.</param>
    /// <returns>The column behind the text.</returns>
    public int Write(int x, int y, string text, CellStyle style = CellStyle.Plain, int limit = int.MaxValue)
    {
        if (y < 0 || y >= Height || x < 0)
        {
            return x;
        }

        int end = (int)Math.Min(Width, (long)x + limit);
        foreach (Rune rune in text.EnumerateRunes())
        {
            int width = TextCells.WidthOf(rune);
            if (x + width > end)
            {
                break;
            }

            if (width > 0)
            {
                _cells[(y * Width) + x] = new ScreenCell(TextCells.Harmless(rune), style);
                if (width > 1)
                {
                    _cells[(y * Width) + x + 1] = new ScreenCell(default, style);
                }
            }

            x += width;
        }

        return x;
    }

    /// <summary>Gives the rest of a line a style, such as that of a header.</summary>
    public void Fill(int x, int y, CellStyle style)
    {
        for (; y >= 0 && y < Height && x < Width; x++)
        {
            _cells[(y * Width) + x] = ScreenCell.Blank with { Style = style };
        }
    }

    /// <summary>A line as text, without the blanks at its end.</summary>
    public string LineText(int y)
    {
        var line = new StringBuilder();
        for (int x = 0; x < Width; x++)
        {
            if (!this[x, y].IsContinuation)
            {
                line.Append(this[x, y].Rune.ToString());
            }
        }

        return line.ToString().TrimEnd();
    }
}
