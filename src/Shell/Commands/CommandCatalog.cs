using System.Collections.Concurrent;
using System.Reflection;
using Hypervisor.Cmdlets;

namespace Hypervisor.Shell.Commands;

/// <summary>The commands there are. A single one is found by its class's name, so that a start does not look at all of them.</summary>
internal static class CommandCatalog
{
    private static readonly Assembly Source = typeof(HypervisorCmdlet).Assembly;
    private static readonly ConcurrentDictionary<string, CommandDefinition?> Known = new(StringComparer.OrdinalIgnoreCase);
    private static readonly Lazy<IReadOnlyList<CommandDefinition>> Everything = new(static () =>
        [.. Source.GetExportedTypes().Select(CommandDefinition.From).OfType<CommandDefinition>().OrderBy(static command => command.Name, StringComparer.OrdinalIgnoreCase)]);

    /// <summary>All commands by name.</summary>
    public static IReadOnlyList<CommandDefinition> All => Everything.Value;

    /// <summary>A command by its name, without regard to case; null when there is none.</summary>
    public static CommandDefinition? Find(string name) => Known.GetOrAdd(name, static wanted =>
    {
        int dash = wanted.IndexOf('-', StringComparison.Ordinal);
        if (dash <= 0)
        {
            return null;
        }

        // Class names follow from command names (Get-VM is GetVMCommand); a test holds them to it.
        Type? type = Source.GetType($"{typeof(HypervisorCmdlet).Namespace}.{wanted.Remove(dash, 1)}Command", throwOnError: false, ignoreCase: true);
        CommandDefinition? command = type is null ? null : CommandDefinition.From(type);
        return string.Equals(command?.Name, wanted, StringComparison.OrdinalIgnoreCase)
            ? command
            : All.FirstOrDefault(other => other.Aliases.Contains(wanted, StringComparer.OrdinalIgnoreCase));
    });
}
