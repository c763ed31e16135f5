using System.Globalization;
using System.Text;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>What a key asks of whoever drives the screen.</summary>
internal enum TopRequest
{
    None,
    Refresh,
    Repaint,
    Write,
    Quit,
}

/// <summary>
/// The full-screen view of EsxTop without a terminal: takes snapshots and keys, and draws itself into a buffer. Any panel can be shown;
/// its columns are those of its rows' table view.
/// </summary>
internal sealed partial class TopScreen
{

    private readonly Func<Type, IReadOnlyList<TopColumn>> _columnsOf;
    private readonly List<TopPanelView> _views;
    private TopPanelView _view;
    private TopSnapshot? _snapshot;
    private IReadOnlyList<IEsxTopRow> _rows = [];
    private Mode _mode;
    private Prompt? _prompt;
    private string _message = "";
    private int _lines, _nameLength, _page = 1;
    private bool _onlyMachines;

    /// <summary>Makes a screen.</summary>
    /// <param name="panels">The panels there are.</param>
    /// <param name="columnsOf">Columns for a type of rows.</param>
    /// <param name="settings">What was chosen.</param>
    /// <param name="settingsPath">Where the key W writes what is chosen.</param>
    public TopScreen(IReadOnlyList<EsxTopPanel> panels, Func<Type, IReadOnlyList<TopColumn>> columnsOf, TopSettings settings, string settingsPath)
    {
        _columnsOf = columnsOf;
        _settingsPath = settingsPath;
        _views = [.. panels.Select(panel => new TopPanelView(panel, settings.Panels.FirstOrDefault(chosen => chosen.Name == panel.Name)))];
        _view = _views.Find(view => view.Panel.Name == settings.Panel) ?? _views[0];
        (Delay, _lines, _nameLength, _onlyMachines) = (TimeSpan.FromSeconds(settings.DelaySeconds), settings.Lines, settings.NameLength, settings.OnlyMachines);
        _view.LearnFields(_columnsOf, []);
    }

    private enum Mode
    {
        Table,
        Help,
        Fields,
        Order,
    }

    /// <summary>Time between refreshes.</summary>
    public TimeSpan Delay { get; private set; }

    /// <summary>The panel that is shown.</summary>
    public EsxTopPanel Panel => _view.Panel;

    /// <summary>The panel has no numbers yet: it needs one more snapshot.</summary>
    public bool NeedsNumbers => _snapshot?.Panels.ContainsKey(Panel.Name) != true;

    /// <summary>Shows all groups in their parts.</summary>
    public void ExpandAll() => _views.ForEach(static view => view.ExpandAll = true);

    /// <summary>Shows new numbers.</summary>
    public void Show(TopSnapshot snapshot)
    {
        _snapshot = snapshot;
        Arrange();
    }

    /// <summary>Shows a sentence until a key is pressed.</summary>
    public void Say(string message) => _message = message;

    /// <summary>What is chosen now.</summary>
    public TopSettings Describe() => new()
    {
        Panel = Panel.Name,
        DelaySeconds = Delay.TotalSeconds,
        Lines = _lines,
        NameLength = _nameLength,
        OnlyMachines = _onlyMachines,
        Panels = [.. _views.Select(static view => view.Describe()).OfType<TopPanelSettings>()],
    };

    /// <summary>Takes a key.</summary>
    public TopRequest Press(TopKey key)
    {
        _message = "";
        if (key.Kind == TopKeyKind.Interrupt)
        {
            return TopRequest.Quit;
        }

        if (key.Kind == TopKeyKind.Redraw)
        {
            return TopRequest.Repaint;
        }

        TopRequest request = _prompt is not null ? PressInPrompt(key) : _mode switch
        {
            Mode.Help => LeaveHelp(),
            Mode.Fields or Mode.Order => PressInFields(key),
            _ => PressInTable(key),
        };
        Arrange();
        return request;
    }

    private void Arrange()
    {
        if (_snapshot is null || !_snapshot.Panels.TryGetValue(Panel.Name, out (IReadOnlyList<IEsxTopCounters> Before, IReadOnlyList<IEsxTopCounters> After) pair))
        {
            _rows = [];
            return;
        }

        _rows = _view.Arrange(pair.Before, pair.After, _onlyMachines);
        if (_view.Fields.Count == 0 && _rows.Count > 0)
        {
            _view.LearnFields(_columnsOf, _rows);
            _rows = _view.Arrange(pair.Before, pair.After, _onlyMachines);
        }
    }

    private TopRequest PressInTable(TopKey key)
    {
        switch (key.Kind)
        {
            case TopKeyKind.Up:
                Scroll(-1);
                break;
            case TopKeyKind.Down:
                Scroll(1);
                break;
            case TopKeyKind.PageUp:
                Scroll(-_page);
                break;
            case TopKeyKind.PageDown:
                Scroll(_page);
                break;
            case TopKeyKind.Home:
                (_view.Scroll, _view.Shift) = (0, 0);
                break;
            case TopKeyKind.End:
                Scroll(int.MaxValue / 2);
                break;
            case TopKeyKind.Left:
                _view.Shift = Math.Max(0, _view.Shift - 1);
                break;
            case TopKeyKind.Right:
                _view.Shift = Math.Min(Math.Max(0, _view.Fields.Count(static field => field.IsShown && !field.Column.IsName) - 1), _view.Shift + 1);
                break;
            case TopKeyKind.Character when key.Rune.IsAscii:
                return PressCharacter((char)key.Rune.Value);
        }

        return TopRequest.None;
    }

    private TopRequest PressCharacter(char key)
    {
        if (Array.Find(TopRules.Panels, panel => panel.Key == key) is { Panel: not null } wanted)
        {
            return Switch(wanted.Panel, wanted.Title);
        }

        switch (key)
        {
            case 'q':
                return TopRequest.Quit;
            case ' ':
                return TopRequest.Refresh;
            case 'h' or '?':
                _mode = Mode.Help;
                return TopRequest.None;
            case 'f' or 'o' when _view.Fields.Count == 0:
                _message = "The columns are not known before there is a line.";
                return TopRequest.None;
            case 'f':
                _mode = Mode.Fields;
                return TopRequest.None;
            case 'o':
                _mode = Mode.Order;
                return TopRequest.None;
            case 'V':
                _onlyMachines = !_onlyMachines;
                _message = _onlyMachines ? "Only machines are shown." : "All lines are shown.";
                return TopRequest.None;
            case 's':
                Ask(string.Create(CultureInfo.InvariantCulture, $"Seconds between refreshes (now {Delay.TotalSeconds}): "), SetDelay);
                return TopRequest.None;
            case '#':
                Ask($"Lines to show, 0 for all that fit (now {_lines}): ", text => SetNumber(text, TopSettings.MostLines, value => _lines = value));
                return TopRequest.None;
            case 'L':
                Ask($"Length of names, 0 for as long as they are (now {_nameLength}): ", text => SetNumber(text, TopSettings.MostNameLength, value => _nameLength = value));
                return TopRequest.None;
            case 'e':
                Ask("Name or number to expand or roll up, * for all: ", Expand);
                return TopRequest.None;
            case 'l':
                Ask("Show only this name or number, nothing for all: ", Limit);
                return TopRequest.None;
            case 'W':
                Confirm($"Write what is chosen to {_settingsPath}?", TopRequest.Write);
                return TopRequest.None;
            case '<' or '>':
                MoveSort(key == '<' ? -1 : 1);
                return TopRequest.None;
            case 'N':
                SortBy(null);
                return TopRequest.None;
        }

        if (TopRules.SortsOf(Panel.Name).FirstOrDefault(sort => sort.Key == key) is { Label: not null } sort)
        {
            SortBy(sort.Label);
        }
        else
        {
            _message = $"'{key}' does nothing here. h explains the keys.";
        }

        return TopRequest.None;
    }

    private TopRequest Switch(string panel, string title)
    {
        if (_views.Find(view => view.Panel.Name == panel) is not { } view)
        {
            _message = $"There is no {title} panel yet.";
            return TopRequest.None;
        }

        _view = view;
        _view.LearnFields(_columnsOf, []);
        return NeedsNumbers ? TopRequest.Refresh : TopRequest.None;
    }

    private void Scroll(int lines) => _view.Scroll = Math.Clamp(_view.Scroll + lines, 0, Math.Max(0, _rows.Count - 1));

    private void SortBy(string? label)
    {
        if (label is not null && _view.Fields.TrueForAll(field => field.Column.Label != label))
        {
            _message = $"This panel has no column {label}.";
            return;
        }

        (_view.Sort, _view.Scroll) = (label, 0);
        _message = label is null ? "Lines stand in their own order." : $"Sorted by {label}.";
    }

    // Through the shown columns, and the lines' own order before the first.
    private void MoveSort(int step)
    {
        string?[] labels = [null, .. _view.Fields.Where(static field => field.IsShown).Select(static field => field.Column.Label)];
        int at = Math.Max(0, Array.IndexOf(labels, _view.Sort));
        SortBy(labels[Math.Clamp(at + step, 0, labels.Length - 1)]);
    }

    private TopRequest LeaveHelp()
    {
        _mode = Mode.Table;
        return TopRequest.None;
    }

    // esxtop's: a letter toggles its column; or it moves it, a capital to the left and a small one to the right, and goes with it. Other
    // keys go back. Digits have no small ones, and move to the left.
    private TopRequest PressInFields(TopKey key)
    {
        char pressed = key.Kind == TopKeyKind.Character && key.Rune.IsAscii ? char.ToUpperInvariant((char)key.Rune.Value) : ' ';
        int at = pressed == ' ' ? -1 : _view.Fields.FindIndex(field => field.Key == pressed);
        if (at < 0)
        {
            _mode = Mode.Table;
            return TopRequest.None;
        }

        if (_mode == Mode.Fields)
        {
            Toggle(_view.Fields[at]);
            return TopRequest.None;
        }

        int to = at + (Rune.IsLower(key.Rune) ? 1 : -1);
        if (to >= 0 && to < _view.Fields.Count)
        {
            (_view.Fields[at], _view.Fields[to]) = (_view.Fields[to], _view.Fields[at]);
        }

        return TopRequest.None;
    }

    private void Toggle(TopField field)
    {
        if (field.IsShown && _view.Fields.Count(static other => other.IsShown) == 1)
        {
            _message = "One column has to stay.";
            return;
        }

        field.IsShown = !field.IsShown;
    }
}
