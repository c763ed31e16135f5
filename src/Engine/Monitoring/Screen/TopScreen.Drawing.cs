using System.Globalization;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <content>Drawing.</content>
internal sealed partial class TopScreen
{
    private const int Gap = 1, LongestOtherText = 40, MostNotes = 3, MostMessageLines = 4;
    private const char More = '>';

    /// <summary>Draws all of it.</summary>
    public void Draw(ScreenBuffer buffer)
    {
        buffer.Clear();
        switch (_mode)
        {
            case Mode.Help:
                DrawHelp(buffer);
                break;
            case Mode.Fields or Mode.Order:
                DrawFields(buffer);
                break;
            default:
                DrawTable(buffer);
                break;
        }
    }

    private void DrawTable(ScreenBuffer buffer)
    {
        int y = DrawTop(buffer);
        if (_prompt is { } prompt)
        {
            // The end is what is being typed: of a question that is too long, the beginning goes.
            string text = prompt.Question + prompt.Answer + "_";
            int surplus = TextCells.WidthOf(text) - buffer.Width;
            buffer.Write(0, y, surplus > 0 ? text[Math.Min(text.Length, surplus)..] : text, CellStyle.Prompt);
        }
        else
        {
            // A message that says what is wrong is no use without its end: it may take more lines.
            foreach (string line in TextCells.Wrap(_message, buffer.Width).Take(MostMessageLines))
            {
                buffer.Write(0, y++, line, CellStyle.Prompt);
            }

            y -= _message.Length > 0 ? 1 : 0;
        }

        y++;
        int notes = Math.Min(_snapshot?.Elsewhere.Count ?? 0, Math.Min(MostNotes, Math.Max(0, buffer.Height - y - 2)));
        DrawRows(buffer, y, buffer.Height - notes);
        DrawNotes(buffer, buffer.Height - notes, notes);
    }

    private int DrawTop(ScreenBuffer buffer)
    {
        if (_snapshot is not { } now)
        {
            return 1;
        }

        string up = string.Create(CultureInfo.InvariantCulture, $"{(now.UpTime.Days == 0 ? "" : now.UpTime.Days == 1 ? "1 day " : $"{now.UpTime.Days} days ")}{now.UpTime.Hours}:{now.UpTime.Minutes:00}");
        string load = now.LoadAverages.Count == 0 ? "not told" : string.Join(", ", now.LoadAverages.Select(static average => average.ToString("0.00", CultureInfo.InvariantCulture)));
        buffer.Write(
            0, 0,
            TextCells.CutBetween(
                string.Create(CultureInfo.InvariantCulture, $"{now.Time:HH:mm:ss} up {up}, {now.Worlds} worlds, {now.Machines} VMs, {now.Worlds} vCPUs; CPU load average: {load}"), buffer.Width),
            CellStyle.Title);
        int y = 1;
        if (now.Panels.TryGetValue(Panel.Name, out (IReadOnlyList<IEsxTopCounters> Before, IReadOnlyList<IEsxTopCounters> After) pair))
        {
            foreach (string line in Panel.Summarize(pair.Before, pair.After))
            {
                buffer.Write(0, y++, TextCells.CutBetween(line, buffer.Width));
            }
        }

        return y;
    }

    private void DrawRows(ScreenBuffer buffer, int y, int bottom)
    {
        if (NeedsNumbers || _rows.Count == 0)
        {
            DrawHeader(buffer, y, Place(buffer.Width, []));
            buffer.Write(0, y + 1, NeedsNumbers ? "The first numbers come in a moment." : NothingToShow(), CellStyle.Note);
            return;
        }

        // Less the header.
        _page = Math.Max(1, bottom - y - 1);
        _view.Scroll = Math.Clamp(_view.Scroll, 0, Math.Max(0, _rows.Count - 1));
        IEsxTopRow[] shown = [.. _rows.Skip(_view.Scroll).Take(_lines > 0 ? Math.Min(_lines, _page) : _page)];
        List<(TopColumn Column, int X, int Width)> places = Place(buffer.Width, shown);
        DrawHeader(buffer, y++, places);
        foreach (IEsxTopRow row in shown)
        {
            foreach ((TopColumn column, int x, int width) in places)
            {
                string text = TextCells.Cut(column.Text(row), width);
                buffer.Write(
                    column.RightAligned ? x + width - TextCells.WidthOf(text) : x, y, text, TopRules.IsAlarming(column, row) ? CellStyle.Alert : column.IsName ? CellStyle.Title : CellStyle.Plain, width);
            }

            y++;
        }
    }

    private string NothingToShow() =>
        _view.Limit is { } limit ? $"'{limit}' is not there now. l and Enter show all."
        : _onlyMachines ? "There are no lines of machines here. V shows all."
        : "No machine runs in this process that this panel could show.";

    private void DrawHeader(ScreenBuffer buffer, int y, List<(TopColumn Column, int X, int Width)> places)
    {
        buffer.Fill(0, y, CellStyle.Header);
        foreach ((TopColumn column, int x, int width) in places)
        {
            string label = TextCells.Cut(column.Label, width);
            buffer.Write(column.RightAligned ? x + width - label.Length : x, y, label, column.Label == _view.Sort ? CellStyle.Sorted : CellStyle.Header);
        }

        if (places.Count < _view.Fields.Count(static field => field.IsShown) - _view.Shift)
        {
            buffer.Write(buffer.Width - 1, y, More.ToString(), CellStyle.Sorted);
        }
    }

    // Columns that fit whole, from the left; half a number would be another number. The name stays when others are shifted out.
    private List<(TopColumn Column, int X, int Width)> Place(int width, IReadOnlyList<IEsxTopRow> rows)
    {
        var places = new List<(TopColumn, int, int)>();
        int x = 0, skip = _view.Shift;
        TopColumn[] shown = [.. _view.Fields.Where(static field => field.IsShown).Select(static field => field.Column)];
        for (int i = 0; i < shown.Length; i++)
        {
            TopColumn column = shown[i];
            if (!column.IsName && skip > 0)
            {
                skip--;
                continue;
            }

            int needed = WidthOf(column, rows);
            bool isLast = i == shown.Length - 1;
            if (x + needed > width - (isLast ? 0 : 1))
            {
                // Text can be cut, and so can the first column: something has to be shown.
                if (places.Count == 0 || (!column.RightAligned && width - x > column.Label.Length))
                {
                    places.Add((column, x, width - x - (isLast ? 0 : 1)));
                }

                break;
            }

            places.Add((column, x, needed));
            x += needed + Gap;
        }

        return places;
    }

    private int WidthOf(TopColumn column, IReadOnlyList<IEsxTopRow> rows)
    {
        int limit = column.IsName ? _nameLength == 0 ? int.MaxValue : Math.Max(_nameLength, column.Label.Length) : column.RightAligned ? int.MaxValue : LongestOtherText;
        int widest = rows.Select(row => TextCells.WidthOf(column.Text(row))).Append(column.Label.Length).Append(_view.Widths.GetValueOrDefault(column.Label)).Max();
        return _view.Widths[column.Label] = Math.Min(limit, widest);
    }

    private void DrawNotes(ScreenBuffer buffer, int y, int count)
    {
        for (int i = 0; i < count; i++)
        {
            bool isCut = i == count - 1 && _snapshot!.Elsewhere.Count > count;
            string note = isCut ? $"Machines of this host folder run in {_snapshot!.Elsewhere.Count - i} more processes." : _snapshot!.Elsewhere[i];
            buffer.Write(0, y + i, TextCells.Cut(note, buffer.Width), CellStyle.Note);
        }
    }

    private void DrawFields(ScreenBuffer buffer)
    {
        bool orders = _mode == Mode.Order;
        buffer.Write(0, 0, $"Columns of the panel {Panel.Name}{(orders ? " in their order" : "")}", CellStyle.Title);
        buffer.Write(0, 1, orders ? "A capital letter moves its column left, a small one right. Other keys go back." : "A letter shows or hides its column; any other key goes back.");
        buffer.Write(0, 2, _message, CellStyle.Prompt);

        // Side by side where there are more columns than lines.
        int rows = Math.Max(1, buffer.Height - 3), wide = _view.Fields.Max(static field => TextCells.WidthOf(field.Column.Label) + TextCells.WidthOf(field.Column.Property)) + 10;
        for (int i = 0; i < _view.Fields.Count; i++)
        {
            TopField field = _view.Fields[i];
            buffer.Write(i / rows * wide, 3 + (i % rows), $"{(field.IsShown ? '*' : ' ')} {field.Key}: {field.Column.Label} = {field.Column.Property}", field.IsShown ? CellStyle.Title : CellStyle.Plain);
        }
    }

    private void DrawHelp(ScreenBuffer buffer)
    {
        string sorts = string.Join("  ", TopRules.SortsOf(Panel.Name).Select(static sort => $"{sort.Key} {sort.Label}"));
        string[] lines =
        [
            "c CPU  m memory  d adapter  u disk  v VM disk  n network  p power  i interrupts",
            "",
            "space    refresh now                   s  seconds between refreshes",
            "f        columns: show and hide        o  columns: order",
            "V        only machines                 e  expand or roll up",
            "l        show only one                 #  number of lines",
            "L        length of names               W  write what is chosen",
            "arrows, PgUp, PgDn, Home, End: scroll lines and columns",
            "",
            $"Sort:    {(sorts.Length == 0 ? "" : sorts + "  ")}N own order  < > by the next column",
            "",
            "Red numbers are worth a look.   Ctrl-L paints again.   q and Ctrl-C leave.",
            "Any key goes back.",
        ];
        buffer.Write(0, 0, $"EsxTop: the keys, in the panel {Panel.Name}", CellStyle.Title);
        for (int i = 0; i < lines.Length; i++)
        {
            buffer.Write(0, i + 2, lines[i]);
        }
    }
}
