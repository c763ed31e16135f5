using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Finds hosts for commands. There is one for each host folder, and all have the name of the computer.</summary>
internal static class VMHosts
{
    /// <summary>Hosts given as objects, and those whose name was given, with wildcards. A name that matches nothing is an error that the command survives.</summary>
    public static IEnumerable<HypervisorHost> Resolve(HypervisorCmdlet cmdlet, IEnumerable<VMHost?> hosts)
    {
        foreach (VMHost host in hosts.OfType<VMHost>())
        {
            if (host.Host is { } known)
            {
                yield return known;
            }
            else if (IsThisComputer(host.Name))
            {
                yield return cmdlet.VIHost;
            }
            else if (!NamePattern.ContainsWildcards(host.Name))
            {
                cmdlet.Complain(NotFound(host.Name));
            }
        }
    }

    /// <summary>The pattern matches the name of this computer.</summary>
    public static bool IsThisComputer(string pattern) => new NamePattern(pattern).IsMatch(Environment.MachineName);

    /// <summary>The error for a name, or an identity, of another computer.</summary>
    public static CommandError NotFound(string name) => new(
        new ItemNotFoundInInventoryException($"There is no host '{name}'; this one is '{Environment.MachineName}'."), "HostNotFound", ErrorCategory.ObjectNotFound, name);
}
