namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>What a person has chosen of the screen; kept in a file with the key W.</summary>
/// <remarks>Set and not init: the serializer made at compile time gives an init property that the file does not have its type's default, not the one written here.</remarks>
internal sealed record TopSettings
{
    /// <summary>Version that this program writes, and the newest that it reads.</summary>
    public const int CurrentSchemaVersion = 1;

    /// <summary>Seconds between refreshes: least, most, and when not chosen.</summary>
    public const double LeastDelay = 0.5, MostDelay = 86_400, DefaultDelay = 5;

    /// <summary>Most lines, and most cells of a name, that can be asked for.</summary>
    public const int MostLines = 10_000, MostNameLength = 200;

    private const int DefaultNameLength = 20;

    public int SchemaVersion { get; set; } = CurrentSchemaVersion;

    /// <summary>The panel shown first.</summary>
    public string Panel { get; set; } = "Cpu";

    /// <summary>Seconds between refreshes.</summary>
    public double DelaySeconds { get; set; } = DefaultDelay;

    /// <summary>Lines shown; 0 for as many as there is room for.</summary>
    public int Lines { get; set; }

    /// <summary>Cells of a name; 0 for as many as it needs.</summary>
    public int NameLength { get; set; } = DefaultNameLength;

    /// <summary>Only lines that are about machines.</summary>
    public bool OnlyMachines { get; set; }

    /// <summary>Panels that differ from what they are at first.</summary>
    public IReadOnlyList<TopPanelSettings> Panels { get; set; } = [];

    /// <summary>Says what is wrong with the values; null when nothing is.</summary>
    public string? Problem() =>
        !(DelaySeconds is >= LeastDelay and <= MostDelay) ? string.Create(System.Globalization.CultureInfo.InvariantCulture, $"delaySeconds is {DelaySeconds}; it can be {LeastDelay} to {MostDelay}")
        : Lines is < 0 or > MostLines ? $"lines is {Lines}; it can be 0 to {MostLines}"
        : NameLength is < 0 or > MostNameLength ? $"nameLength is {NameLength}; it can be 0 to {MostNameLength}"
        : Array.TrueForAll(TopRules.Panels, known => known.Panel != Panel) ? $"there is no panel '{Panel}'"
        : Panels.Any(static panel => panel is null || panel.Columns.Concat(panel.Hidden).Any(static label => label is null)) ? "a panel or the name of a column is null"
        : Panels.FirstOrDefault(static panel => Array.TrueForAll(TopRules.Panels, known => known.Panel != panel.Name)) is { } unknown ? $"there is no panel '{unknown.Name}'"
        : Panels.GroupBy(static panel => panel.Name).FirstOrDefault(static group => group.Count() > 1) is { } twice ? $"the panel '{twice.Key}' stands there twice"
        : null;
}

/// <summary>What was chosen of a panel. Columns that a host does not have are passed over: what there is depends on it.</summary>
internal sealed record TopPanelSettings
{
    public required string Name { get; set; }

    /// <summary>Labels in the order shown; columns that are not named come behind them.</summary>
    public IReadOnlyList<string> Columns { get; set; } = [];

    /// <summary>Labels that are not shown.</summary>
    public IReadOnlyList<string> Hidden { get; set; } = [];

    /// <summary>Label that lines are sorted by; null for their own order.</summary>
    public string? Sort { get; set; }
}
