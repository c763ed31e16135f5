using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Finds datastores for commands.</summary>
internal static class Datastores
{
    /// <summary>Datastores by name, with wildcards.</summary>
    public static IEnumerable<Datastore> Named(HypervisorHost host, string name)
    {
        // Most names are of machines; only a path can be a datastore's, and looking for those asks the file systems.
        bool mayBe = NamePattern.ContainsWildcards(name) || Path.IsPathRooted(name);
        var pattern = new NamePattern(name);
        return mayBe ? host.GetDatastores().Where(datastore => pattern.IsMatch(datastore.Name)) : [];
    }

    /// <summary>The error for a name, or an identity, that no datastore has.</summary>
    public static CommandError NotFound(HypervisorCmdlet cmdlet, string name) => new(
        new ItemNotFoundInInventoryException($"There is no datastore '{name}' on this host ({cmdlet.VIHost.Folder.Root}); Get-Datastore lists those in use."), "DatastoreNotFound", ErrorCategory.ObjectNotFound, name);
}
