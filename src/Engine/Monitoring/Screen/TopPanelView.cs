namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>A panel on the screen: its columns in their order, what is sorted, expanded and scrolled.</summary>
internal sealed class TopPanelView(EsxTopPanel panel, TopPanelSettings? settings)
{
    private readonly TopPanelSettings? _settings = settings;

    public EsxTopPanel Panel => panel;

    /// <summary>All columns in their order; none before the type of the rows is known.</summary>
    public List<TopField> Fields { get; } = [];

    /// <summary>Label of the column that lines are sorted by, the greatest first; null for their own order.</summary>
    public string? Sort { get; set; } = settings?.Sort;

    /// <summary>Groups that are shown in their parts.</summary>
    public HashSet<string> Expanded { get; } = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>All groups are.</summary>
    public bool ExpandAll { get; set; }

    /// <summary>The one group that is shown; null for all.</summary>
    public string? Limit { get; set; }

    /// <summary>Lines above the first that is shown.</summary>
    public int Scroll { get; set; }

    /// <summary>Columns left of the first that is shown, the name not counted.</summary>
    public int Shift { get; set; }

    /// <summary>Widths so far, so that columns do not move to and fro with their numbers.</summary>
    public Dictionary<string, int> Widths { get; } = new(StringComparer.Ordinal);

    /// <summary>Learns the columns, once.</summary>
    public void LearnFields(Func<Type, IReadOnlyList<TopColumn>> columnsOf, IReadOnlyList<IEsxTopRow> rows)
    {
        if (Fields.Count > 0 || (panel.RowType ?? (rows.Count > 0 ? rows[0].GetType() : null)) is not { } type)
        {
            return;
        }

        IReadOnlyList<TopColumn> columns = columnsOf(type);
        Fields.AddRange((_settings?.Columns ?? []).Select(label => columns.FirstOrDefault(column => column.Label == label)).OfType<TopColumn>().Distinct().Select(Field));
        Fields.AddRange(columns.Where(column => Fields.TrueForAll(field => field.Column.Label != column.Label)).Select(Field));
        for (int i = 0; i < columns.Count; i++)
        {
            Fields.Find(field => field.Column == columns[i])!.Key = i < TopField.Keys.Length ? TopField.Keys[i] : ' ';
        }
    }

    /// <summary>The rows as they are to be shown, in their order.</summary>
    public IReadOnlyList<IEsxTopRow> Arrange(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after, bool onlyMachines)
    {
        IReadOnlyList<IEsxTopRow> whole = panel.Compare(before, after, expand: false);
        IEnumerable<IEsxTopRow> rows = whole;
        if (ExpandAll || Expanded.Count > 0)
        {
            IReadOnlyList<IEsxTopRow> parts = panel.Compare(before, after, expand: true);
            ILookup<string, IEsxTopRow> partsOf = parts.ToLookup(static row => row.Group, StringComparer.OrdinalIgnoreCase);
            rows = ExpandAll ? parts : whole.SelectMany(row => Expanded.Contains(row.Group) ? partsOf[row.Group] : [row]);
        }

        rows = rows.Where(row => (!onlyMachines || row.IsOfMachine) && (Limit is null || string.Equals(row.Group, Limit, StringComparison.OrdinalIgnoreCase)));
        return Fields.Find(field => field.Column.Label == Sort)?.Column is { } column
            ? [.. rows.OrderByDescending(row => column.Number(row) ?? double.NegativeInfinity).ThenBy(row => column.Number(row) is null ? column.Text(row) : "", StringComparer.OrdinalIgnoreCase)]
            : [.. rows];
    }

    /// <summary>The group that somebody means by a name or a number; null when there is none.</summary>
    public string? FindGroup(IReadOnlyList<IEsxTopRow> rows, string text)
    {
        TopColumn[] identities = [.. Fields.Select(static field => field.Column).Where(static column => column.IsIdentity)];
        return rows.FirstOrDefault(row => string.Equals(row.Group, text, StringComparison.OrdinalIgnoreCase)
            || Array.Exists(identities, column => string.Equals(column.Text(row), text, StringComparison.OrdinalIgnoreCase)))?.Group;
    }

    /// <summary>What is to be kept; null when it is all as at first.</summary>
    public TopPanelSettings? Describe() =>
        Fields.Count == 0 ? _settings : new TopPanelSettings
        {
            Name = panel.Name,
            Columns = [.. Fields.Select(static field => field.Column.Label)],
            Hidden = [.. Fields.Where(static field => !field.IsShown).Select(static field => field.Column.Label)],
            Sort = Sort,
        };

    private TopField Field(TopColumn column) => new(column) { IsShown = !(_settings?.Hidden.Contains(column.Label) ?? TopRules.IsHiddenAtFirst(column)) };
}

/// <summary>A column and whether it is shown.</summary>
internal sealed class TopField(TopColumn column)
{
    /// <summary>Keys in the columns' own order; where letters end, digits go on.</summary>
    public const string Keys = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

    public TopColumn Column => column;

    /// <summary>The key that shows, hides and moves it, wherever it stands; blank for one beyond the last.</summary>
    public char Key { get; set; } = ' ';

    public bool IsShown { get; set; } = true;
}
