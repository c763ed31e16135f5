using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
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
/// <example>
/// <code>Get-VM web | Get-VMHost</code>
/// The host of a machine.
/// </example>
[Cmdlet(VerbsCommon.Get, "VMHost", DefaultParameterSetName = ByName)]
[OutputType(typeof(VMHost))]
public sealed class GetVMHostCommand : HypervisorCmdlet
{
    private const string ByName = "ByName", ByMachine = "ByMachine", ByPool = "ByPool", ById = "ById";

    private readonly HashSet<HypervisorHost> _given = [];

    /// <summary>Names, with wildcards; there is one host.</summary>
    [Parameter(Position = 0, ParameterSetName = ByName)]
    [ValidateNotNullOrEmpty]
    public string[]? Name { get; set; }

    /// <summary>Machines, or their names, whose host is asked for.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ByMachine, ValueFromPipeline = true)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    [ValidateNotNullOrEmpty]
    public VirtualMachine[]? VM { get; set; }

    /// <summary>Resource pools, or their names, whose host is asked for.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ByPool, ValueFromPipeline = true)]
    [ResourcePoolTransformation]
    [ArgumentCompleter(typeof(ResourcePoolNameCompleter))]
    [ValidateNotNullOrEmpty]
    public ResourcePool[]? ResourcePool { get; set; }

    /// <summary>Identities.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ById)]
    [ValidateNotNullOrEmpty]
    public string[]? Id { get; set; }

    private protected override void Process()
    {
        if (VM is not null || ResourcePool is not null)
        {
            // A host once, however many of its machines come.
            IEnumerable<HypervisorHost> hosts = VM is not null ? Resolve(VM).Select(static machine => machine.Host!) : ResourcePools.Resolve(this, ResourcePool).Select(static pool => pool.Host!);
            foreach (HypervisorHost host in hosts.Where(_given.Add))
            {
                Emit(host.Describe());
            }

            return;
        }

        string[] wanted = Id ?? Name ?? ["*"];
        bool[] matches = [.. wanted.Select(one => Id is null ? VMHosts.IsThisComputer(one) : string.Equals(one, VMHost.IdOfThisComputer, StringComparison.OrdinalIgnoreCase))];
        if (matches.Contains(true))
        {
            Emit(VIHost.Describe());
        }

        foreach (string missing in wanted.Where((one, index) => !matches[index] && (Id is not null || !NamePattern.ContainsWildcards(one))))
        {
            Complain(VMHosts.NotFound(missing));
        }
    }
}
