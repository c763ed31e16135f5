using System.Globalization;
using System.Text;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>How many cells of a terminal text takes. Names come from anybody: nothing of them may move the cursor.</summary>
internal static class TextCells
{
    // East Asian wide and fullwidth characters (Unicode Standard Annex #11) and emoji, the blocks that terminals agree on.
    private static readonly (int First, int Last)[] Wide =
    [
        (0x1100, 0x115F), (0x2E80, 0x303E), (0x3041, 0xA4CF), (0xA960, 0xA97C), (0xAC00, 0xD7A3), (0xF900, 0xFAFF), (0xFE30, 0xFE6F), (0xFF01, 0xFF60), (0xFFE0, 0xFFE6),
        (0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x1F900, 0x1F9FF), (0x20000, 0x3FFFD),
    ];

    private const char Ellipsis = '…';

    /// <summary>Cells of a character: 0 for marks that combine and for characters without a picture, which are left out.</summary>
    public static int WidthOf(Rune rune)
    {
        if (rune.IsAscii)
        {
            return 1;
        }

        return Rune.GetUnicodeCategory(rune) switch
        {
            UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format => 0,
            _ => Array.Exists(Wide, range => rune.Value >= range.First && rune.Value <= range.Last) ? 2 : 1,
        };
    }

    /// <summary>Cells of a text.</summary>
    public static int WidthOf(string text)
    {
        int width = 0;
        foreach (Rune rune in text.EnumerateRunes())
        {
            width += WidthOf(rune);
        }

        return width;
    }

    /// <summary>The character, or a blank in place of one that would control the terminal.</summary>
    public static Rune Harmless(Rune rune) =>
        Rune.GetUnicodeCategory(rune) is UnicodeCategory.Control or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator ? new Rune(' ') : rune;

    /// <summary>The text, or as much of its beginning as fits, with an ellipsis.</summary>
    public static string Cut(string text, int cells)
    {
        if (WidthOf(text) <= cells)
        {
            return text;
        }

        var cut = new StringBuilder();
        int left = cells - 1;
        foreach (Rune rune in text.EnumerateRunes())
        {
            left -= WidthOf(rune);
            if (left < 0)
            {
                break;
            }

            cut.Append(rune.ToString());
        }

        return cells > 0 ? cut.Append(Ellipsis).ToString() : "";
    }

    /// <summary>The text, or as many of its items (between commas, or else words) as fit, with an ellipsis: half a number would be another number.</summary>
    public static string CutBetween(string text, int cells)
    {
        if (WidthOf(text) <= cells)
        {
            return text;
        }

        foreach (string separator in (string[])[", ", " "])
        {
            // Room for the separator and the ellipsis.
            for (int end = text.LastIndexOf(separator, StringComparison.Ordinal); end > 0; end = text.LastIndexOf(separator, end - 1, StringComparison.Ordinal))
            {
                string head = text[..end].TrimEnd() + separator + Ellipsis;
                if (WidthOf(head) <= cells)
                {
                    return head;
                }
            }
        }

        return Cut(text, cells);
    }

    /// <summary>The text in lines, broken between words; a word that is longer than a line is cut.</summary>
    public static IEnumerable<string> Wrap(string text, int cells)
    {
        var line = new StringBuilder();
        int width = 0;
        foreach (string word in text.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            int length = WidthOf(word);
            if (width > 0 && width + 1 + length > cells)
            {
                yield return line.ToString();
                line.Clear();
                width = 0;
            }

            line.Append(width > 0 ? " " : "").Append(word);
            width += (width > 0 ? 1 : 0) + length;
        }

        if (width > 0)
        {
            yield return line.ToString();
        }
    }
}
