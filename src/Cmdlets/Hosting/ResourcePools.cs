using System.Collections;
using System.Management.Automation;
using System.Management.Automation.Language;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Finds resource pools for commands.</summary>
internal static class ResourcePools
{
    /// <summary>Pools given as objects, and those whose name was given, with wildcards. A name that matches nothing is an error that the command survives.</summary>
    public static IEnumerable<ResourcePool> Resolve(HypervisorCmdlet cmdlet, IEnumerable<ResourcePool?>? pools) =>
        (pools ?? []).OfType<ResourcePool>().SelectMany(pool => pool.IsReference ? Find(cmdlet, pool.Name) : [pool]);

    /// <summary>The one pool that is meant, or null after an error.</summary>
    public static ResourcePool? ResolveOne(HypervisorCmdlet cmdlet, ResourcePool pool)
    {
        ResourcePool[] found = [.. Resolve(cmdlet, [pool])];
        if (found.Length > 1)
        {
            cmdlet.Complain(new CommandError(
                new ArgumentException($"'{pool.Name}' stands for {found.Length} resource pools: {string.Join(", ", found.Select(static one => one.Name))}. One is needed."),
                "AmbiguousResourcePool", ErrorCategory.InvalidArgument, pool.Name));
            return null;
        }

        return found.FirstOrDefault();
    }

    /// <summary>Pools that are in some places.</summary>
    /// <param name="places">The places.</param>
    /// <param name="isDeep">Also those in pools in them.</param>
    public static IEnumerable<ResourcePool> Within(IEnumerable<ResourcePool> places, bool isDeep)
    {
        foreach (IGrouping<HypervisorHost, ResourcePool> ofHost in places.GroupBy(static place => place.Host!))
        {
            IReadOnlyList<ResourcePool> all = ofHost.Key.GetResourcePools();
            HashSet<Guid> reached = [.. ofHost.Select(static place => place.Configuration?.Id ?? Guid.Empty)];

            // Each stands behind the one that it is in.
            foreach (ResourcePool pool in all)
            {
                if (pool.Configuration is { } inside && reached.Contains(inside.ParentId ?? Guid.Empty))
                {
                    if (isDeep)
                    {
                        reached.Add(inside.Id);
                    }

                    yield return pool;
                }
            }
        }
    }

    /// <summary>Pools by name.</summary>
    public static IReadOnlyList<ResourcePool> Find(HypervisorCmdlet cmdlet, string name)
    {
        IReadOnlyList<ResourcePool> found = cmdlet.VIHost.FindResourcePools(name);
        if (found.Count == 0 && !NamePattern.ContainsWildcards(name))
        {
            cmdlet.Complain(new CommandError(
                new ItemNotFoundInInventoryException($"There is no resource pool named '{name}' on this host ({cmdlet.VIHost.Folder.Root})."), "ResourcePoolNotFound", ErrorCategory.ObjectNotFound, name));
        }

        return found;
    }
}

/// <summary>Proposes the names of resource pools.</summary>
public sealed class ResourcePoolNameCompleter : NameCompleter
{
    private protected override IEnumerable<string> Names(string? hostPath) => HypervisorHost.Open(hostPath).FindResourcePools("*").Select(static pool => pool.Name);
}
