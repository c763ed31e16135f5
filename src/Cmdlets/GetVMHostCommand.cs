using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Get-VMHost: this computer as a host, and what it can run machines with.</summary>
/// <example>
/// <code>Get-VMHost</code>
/// This computer and its default backend.
/// </example>
/// <example>
/// <code>(Get-VMHost).Backends</code>
/// What was found out about each backend, and why one of them is the default.
/// </example>
[Cmdlet(VerbsCommon.Get, "VMHost")]
[OutputType(typeof(VMHost))]
public sealed class GetVMHostCommand : HypervisorCmdlet
{
    /// <summary>Names, with wildcards; there is one host.</summary>
    [Parameter(Position = 0)]
    [ValidateNotNullOrEmpty]
    public string[]? Name { get; set; }

    private protected override void Process()
    {
        VMHost host = VIHost.Describe();
        if (Name is null || Name.Any(name => new NamePattern(name).IsMatch(host.Name)))
        {
            Emit(host);
            return;
        }

        foreach (string name in Name.Where(static name => !NamePattern.ContainsWildcards(name)))
        {
            Complain(new Hosting.CommandError(
                new Hosting.ItemNotFoundInInventoryException($"There is no host named '{name}'; this one is '{host.Name}'."), "HostNotFound", ErrorCategory.ObjectNotFound, name));
        }
    }
}
