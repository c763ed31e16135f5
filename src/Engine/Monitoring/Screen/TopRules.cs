namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>What esxtop's keys sort by, and from where on a number is worth a look. By label: a panel that has the column has the rule.</summary>
internal static class TopRules
{
    /// <summary>Panels by esxtop's keys.</summary>
    public static readonly (char Key, string Panel, string Title)[] Panels =
    [
        ('c', "Cpu", "CPU"), ('m', "Memory", "memory"), ('d', "Adapter", "disk adapter"), ('u', "Disk", "disk device"), ('v', "VMDisk", "virtual disk"), ('n', "Network", "network"),
        ('p', "Power", "power"), ('i', "Interrupt", "interrupts"),
    ];

    private static readonly (char Key, string Label)[] Disk = [('r', "READS/s"), ('w', "WRITES/s"), ('R', "MBREAD/s"), ('T', "MBWRTN/s")];

    private static readonly Dictionary<string, (char Key, string Label)[]> Sorts = new(StringComparer.Ordinal)
    {
        ["Cpu"] = [('U', "%USED"), ('R', "%RDY")],
        ["Memory"] = [('M', "MEMSZ"), ('B', "MCTLSZ")],
        ["Adapter"] = Disk,
        ["Disk"] = Disk,
        ["VMDisk"] = Disk,
        ["Network"] = [('t', "PKTTX/s"), ('r', "PKTRX/s"), ('T', "MbTX/s"), ('R', "MbRX/s")],
    };

    // What MISSING says stands above the table. Of memory's, esxtop shows at first what there is of sizes and of swapping; balloons are as common here.
    private static readonly HashSet<string> HiddenAtFirst = new(StringComparer.Ordinal)
    {
        "MISSING", "%ACTV", "%ACTVS", "%ACTVF", "%ACTVN", "MCTLMAX", "CACHESZ", "CACHEUSD", "ZIP/s", "UNZIP/s", "ZERO", "SHRD", "SHRDSVD", "LPAGE",
    };

    // From here on esxtop's users look closer; those for each virtual processor are multiplied by their number.
    private static readonly Dictionary<string, (double Limit, bool EachProcessor)> Limits = new(StringComparer.Ordinal)
    {
        ["%RDY"] = (10, true), ["%CSTP"] = (3, true), ["%MLMTD"] = (0, false), ["%SWPWT"] = (5, true),
        ["DAVG/cmd"] = (25, false), ["KAVG/cmd"] = (2, false), ["ABRTS/s"] = (0, false),
        ["%DRPTX"] = (0, false), ["%DRPRX"] = (0, false),
        ["MCTLSZ"] = (0, false), ["SWCUR"] = (0, false), ["SWR/s"] = (0, false), ["SWW/s"] = (0, false), ["ZIP/s"] = (0, false), ["UNZIP/s"] = (0, false),
    };

    /// <summary>A column that is hidden until somebody asks for it.</summary>
    public static bool IsHiddenAtFirst(TopColumn column) => HiddenAtFirst.Contains(column.Label);

    /// <summary>The keys that sort a panel, each with its column.</summary>
    public static IReadOnlyList<(char Key, string Label)> SortsOf(string panel) => Sorts.GetValueOrDefault(panel) ?? [];

    /// <summary>The number is worth a look.</summary>
    public static bool IsAlarming(TopColumn column, IEsxTopRow row) =>
        Limits.TryGetValue(column.Label, out (double Limit, bool EachProcessor) rule) && column.Number(row) > rule.Limit * (rule.EachProcessor && row is EsxTopCpu cpu ? cpu.NumWorlds : 1);
}
