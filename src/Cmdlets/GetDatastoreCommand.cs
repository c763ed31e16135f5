using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Get-Datastore: the file systems of the host that disks of machines and the host folder are on, by their mount points, and how full they are.</summary>
/// <example>
/// <code>Get-Datastore</code>
/// All datastores.
/// </example>
/// <example>
/// <code>Get-Datastore | Where-Object { $_.FreeSpaceGB -lt 0.1 * $_.CapacityGB }</code>
/// Those that are nearly full.
/// </example>
/// <example>
/// <code>Get-VM web | Get-Datastore | Get-Stat -Stat datastore.*</code>
/// What happens on the datastores of a machine.
/// </example>
[Cmdlet(VerbsCommon.Get, "Datastore", DefaultParameterSetName = ByName)]
[OutputType(typeof(Datastore))]
public sealed class GetDatastoreCommand : HypervisorCmdlet
{
    private const string ByName = "ByName", ByMachine = "ByMachine", ByHost = "ByHost", ById = "ById";

    private readonly HashSet<Datastore> _given = [];

    /// <summary>Names, with wildcards: mount points.</summary>
    [Parameter(Position = 0, ParameterSetName = ByName)]
    [ArgumentCompleter(typeof(DatastoreNameCompleter))]
    [ValidateNotNullOrEmpty]
    public string[]? Name { get; set; }

    /// <summary>Machines, or their names, whose datastores are asked for: those that their disks are on.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ByMachine, ValueFromPipeline = true)]
    [Alias("RelatedObject")]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    [ValidateNotNullOrEmpty]
    public VirtualMachine[]? VM { get; set; }

    /// <summary>The host, or its name: all datastores.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ByHost, ValueFromPipeline = true)]
    [VMHostTransformation]
    [ValidateNotNullOrEmpty]
    public VMHost[]? VMHost { get; set; }

    /// <summary>Identities.</summary>
    [Parameter(Mandatory = true, ParameterSetName = ById)]
    [ValidateNotNullOrEmpty]
    public string[]? Id { get; set; }

    private protected override void Process()
    {
        IEnumerable<Datastore> found = this switch
        {
            { VM: { } machines } => Resolve(machines).SelectMany(static machine => machine.Host!.GetDatastores(machine)),
            { VMHost: { } hosts } => VMHosts.Resolve(this, hosts).SelectMany(static host => host.GetDatastores()),
            { Id: { } ids } => ids.SelectMany(id => Known(id, datastore => string.Equals(datastore.Id, id, StringComparison.OrdinalIgnoreCase))),
            { Name: { } names } => names.SelectMany(name => Known(name, datastore => new NamePattern(name).IsMatch(datastore.Name))),
            _ => VIHost.GetDatastores(),
        };

        // A datastore once, however many machines are on it.
        foreach (Datastore datastore in found.Where(_given.Add))
        {
            Emit(datastore);
        }
    }

    private Datastore[] Known(string asked, Func<Datastore, bool> matches)
    {
        Datastore[] found = [.. VIHost.GetDatastores().Where(matches)];
        if (found.Length == 0 && !NamePattern.ContainsWildcards(asked))
        {
            Complain(Datastores.NotFound(this, asked));
        }

        return found;
    }
}
