using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets;

/// <summary>Get-IoControl: storage I/O control of datastores, or of the disks of machines.</summary>
/// <example>
/// <code>Get-IoControl</code>
/// The datastores of the host and how they are controlled.
/// </example>
/// <example>
/// <code>Get-VM web* | Get-IoControl</code>
/// Shares, limits and reservations of the disks of some machines.
/// </example>
[Cmdlet(VerbsCommon.Get, "IoControl", DefaultParameterSetName = DatastoreSet)]
[OutputType(typeof(DatastoreIoControl), ParameterSetName = [DatastoreSet])]
[OutputType(typeof(DiskIoControl), ParameterSetName = [DiskSet])]
public sealed class GetIoControlCommand : HypervisorCmdlet
{
    private const string DatastoreSet = "Datastore", DiskSet = "Disk";

    /// <summary>Machines, or their names, whose disks are asked for.</summary>
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ParameterSetName = DiskSet)]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[] VM { get; set; } = [];

    /// <summary>Datastores by name, with wildcards: mount points of the host.</summary>
    [Parameter(ParameterSetName = DatastoreSet)]
    [ValidateNotNullOrEmpty]
    [ArgumentCompleter(typeof(DatastoreNameCompleter))]
    public string[]? Datastore { get; set; }

    private protected override void Process()
    {
        if (IsBound(nameof(VM)))
        {
            foreach (VirtualMachine machine in Resolve(VM))
            {
                Attempt(machine, () => EmitAll(machine.Host!.GetDiskIoControl(machine)));
            }

            return;
        }

        IReadOnlyList<DatastoreIoControl> all = VIHost.GetDatastoreIoControl();
        if (Datastore is null)
        {
            EmitAll(all);
            return;
        }

        foreach (string name in Datastore)
        {
            var pattern = new NamePattern(name);
            DatastoreIoControl[] found = [.. all.Where(datastore => pattern.IsMatch(datastore.Datastore))];
            if (found.Length == 0 && !NamePattern.ContainsWildcards(name))
            {
                string there = string.Join(", ", all.Select(static datastore => datastore.Datastore));
                Complain(new CommandError(
                    new ItemNotFoundInInventoryException($"There is no datastore '{name}' in use. There are: {there}."), "DatastoreNotFound", ErrorCategory.ObjectNotFound, name));
            }

            EmitAll(found);
        }
    }

    private void EmitAll<T>(IEnumerable<T> items)
    {
        foreach (T item in items)
        {
            Emit(item);
        }
    }
}
