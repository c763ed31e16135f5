using System.Globalization;
using System.Text;

namespace Hypervisor.Tests.Unit.Monitoring.Screen;

/// <summary>A terminal as far as the painter uses one: cursor positions, erasing, styles. It refuses what it does not know, and text that would wrap.</summary>
internal sealed class VirtualTerminal(int width, int height)
{
    private readonly string[,] _cells = new string[height, width];
    private int _x, _y;
    private string _style = "";

    /// <summary>Characters written since the beginning.</summary>
    public int Written { get; private set; }

    /// <summary>Every style that was asked for.</summary>
    public HashSet<string> Styles { get; } = [];

    public string this[int y] => string.Concat(Enumerable.Range(0, width).Select(x => _cells[y, x] ?? " ")).TrimEnd();

    public string Style => _style;

    public void Send(string text)
    {
        for (int i = 0; i < text.Length;)
        {
            if (text[i] == '\e')
            {
                int end = i + 2;
                while (!char.IsAsciiLetter(text[end]))
                {
                    end++;
                }

                Control(text[(i + 2)..end], text[end]);
                i = end + 1;
                continue;
            }

            Rune rune = Rune.GetRuneAt(text, i);
            Put(rune);
            i += rune.Utf16SequenceLength;
        }
    }

    private void Put(Rune rune)
    {
        Assert.False(Rune.IsControl(rune), $"A control character U+{rune.Value:X4} was sent.");
        int cells = Engine.Monitoring.Screen.TextCells.WidthOf(rune);
        Assert.True(_x + cells <= width, "Text went past the right edge.");
        _cells[_y, _x] = rune.ToString();
        if (cells == 2)
        {
            _cells[_y, _x + 1] = "";
        }

        _x += cells;
        Written++;
    }

    private void Control(string arguments, char final)
    {
        switch (final)
        {
            case 'H':
                int[] position = [.. arguments.Split(';').Select(static number => int.Parse(number, CultureInfo.InvariantCulture))];
                (_y, _x) = (position[0] - 1, position[1] - 1);
                Assert.InRange(_y, 0, height - 1);
                Assert.InRange(_x, 0, width - 1);
                break;
            case 'J':
                Array.Clear(_cells);
                break;
            case 'm':
                _style = arguments == "0" ? "" : arguments;
                Styles.Add(_style);
                break;
            default:
                Assert.Fail($"Unknown sequence {arguments}{final}.");
                break;
        }
    }
}
