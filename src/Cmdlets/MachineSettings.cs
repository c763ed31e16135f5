using System.Collections;
using System.Globalization;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Turns what a user writes into parts of a configuration; shared by New-VM and Set-VM.</summary>
internal static class MachineSettings
{
    public static string? NullIfEmpty(string? text) => string.IsNullOrEmpty(text) ? null : text;

    public static string? FullPath(HypervisorCmdlet cmdlet, string? path) => string.IsNullOrEmpty(path) ? null : cmdlet.ResolvePath(path);

    /// <summary>Disks by path; one that is there already keeps what was set for it.</summary>
    public static IReadOnlyList<HardDiskConfiguration> Disks(HypervisorCmdlet cmdlet, string[]? paths, IReadOnlyList<HardDiskConfiguration>? present = null) =>
        [.. (paths ?? []).Where(static path => !string.IsNullOrEmpty(path)).Select(cmdlet.ResolvePath).Select(path =>
            present?.FirstOrDefault(disk => MachineRules.PathComparer.Equals(disk.Path, path)) ?? new HardDiskConfiguration { Path = path })];

    public static IReadOnlyList<PortForward> Forwards(string[]? forwards) =>
        [.. (forwards ?? []).Where(static forward => !string.IsNullOrEmpty(forward)).Select(PortForwardSyntax.Parse)];

    /// <summary>Adds settings to those there are; a setting whose value is null goes.</summary>
    public static IReadOnlyDictionary<string, string> Merge(IReadOnlyDictionary<string, string> present, Hashtable? changes)
    {
        var merged = new SortedDictionary<string, string>(present.ToDictionary(), StringComparer.OrdinalIgnoreCase);
        foreach (DictionaryEntry change in changes ?? [])
        {
            string name = Convert.ToString(change.Key, CultureInfo.InvariantCulture) ?? "";
            if (string.IsNullOrWhiteSpace(name))
            {
                throw new InvalidConfigurationException("An advanced setting has no name.");
            }

            if (change.Value is null)
            {
                merged.Remove(name);
            }
            else
            {
                merged[name] = Convert.ToString(change.Value, CultureInfo.InvariantCulture) ?? "";
            }
        }

        // The same object when nothing changes, so that a machine that runs may be told again what it has.
        return merged.Count == present.Count && merged.All(one => present.TryGetValue(one.Key, out string? value) && value == one.Value) ? present : merged;
    }
}
