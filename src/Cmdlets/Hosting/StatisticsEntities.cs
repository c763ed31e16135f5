using System.Collections;
using System.Globalization;
using System.Management.Automation;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Monitoring.Statistics;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>What statistics are asked of: a machine, a resource pool, a datastore, or the host.</summary>
/// <param name="Entity">The <see cref="VirtualMachine"/>, <see cref="ResourcePool"/>, <see cref="Datastore"/> or <see cref="VMHost"/>.</param>
/// <param name="Id">Its identity in the statistics.</param>
/// <param name="Host">The host that has them.</param>
internal sealed record StatisticsEntity(object Entity, string Id, HypervisorHost Host);

/// <summary>Finds entities for the commands of the statistics.</summary>
internal static class StatisticsEntities
{
    /// <summary>Objects as they are; names, with wildcards, stand for machines and for the host, and without them for resource pools and datastores too. A name that matches nothing is an error that the command survives.</summary>
    public static IEnumerable<StatisticsEntity> Resolve(HypervisorCmdlet cmdlet, IEnumerable<object?>? entities)
    {
        foreach (object? entity in entities ?? [])
        {
            switch (entity)
            {
                case null:
                    break;
                case VirtualMachine { IsReference: false } machine:
                    yield return Of(machine, machine.Host!);
                    break;
                case VirtualMachine reference when !cmdlet.NamesAreArguments:
                    // Says what is wrong with it.
                    _ = cmdlet.Resolve([reference]).Count();
                    break;
                case VirtualMachine reference:
                    foreach (StatisticsEntity found in ByName(cmdlet, reference.Name))
                    {
                        yield return found;
                    }

                    break;
                case ResourcePool { IsReference: false } pool:
                    yield return new StatisticsEntity(pool, pool.Id, pool.Host!);
                    break;
                case Datastore datastore:
                    yield return new StatisticsEntity(datastore, datastore.Id, datastore.Host);
                    break;
                case VMHost host:
                    yield return new StatisticsEntity(host, host.Id, host.Path == cmdlet.VIHost.Folder.Root ? cmdlet.VIHost : HypervisorHost.Open(host.Path));
                    break;
                default:
                    cmdlet.Complain(new CommandError(
                        new ArgumentException($"There are no statistics of a {entity.GetType().Name}; there are of machines, resource pools, datastores and the host."), "NoStatistics", ErrorCategory.InvalidArgument, entity));
                    break;
            }
        }
    }

    /// <summary>A counter has this name, or the name has wildcards; if not, that is an error that the command survives.</summary>
    public static bool IsKnownCounter(HypervisorCmdlet cmdlet, string name)
    {
        var pattern = new NamePattern(name);
        if (NamePattern.ContainsWildcards(name) || StatisticsCounters.All.Any(counter => pattern.IsMatch(counter.Name)))
        {
            return true;
        }

        cmdlet.Complain(new CommandError(
            new ItemNotFoundInInventoryException($"There is no counter '{name}'. Get-StatType lists those that a machine or the host has samples of; machines and the host stand behind -Entity."),
            "CounterNotFound", ErrorCategory.ObjectNotFound, name));
        return false;
    }

    /// <summary>Refuses a time that ends before it begins.</summary>
    /// <exception cref="InvalidConfigurationException">It does.</exception>
    public static void CheckTimes(DateTime? start, DateTime? finish)
    {
        if (start?.ToUniversalTime() > finish?.ToUniversalTime())
        {
            throw new InvalidConfigurationException(string.Create(CultureInfo.InvariantCulture, $"-Start {start:yyyy-MM-dd HH:mm:ss} is after -Finish {finish:yyyy-MM-dd HH:mm:ss}."));
        }
    }

    /// <summary>All there are.</summary>
    public static IEnumerable<StatisticsEntity> All(HypervisorHost host) => host.GetMachines().Select(machine => Of(machine, host)).Append(Of(host));

    private static StatisticsEntity Of(VirtualMachine machine, HypervisorHost host) => new(machine, StatisticsService.EntityIdOf(machine.Id), host);

    private static StatisticsEntity Of(HypervisorHost host)
    {
        VMHost described = host.Describe();
        return new StatisticsEntity(described, described.Id, host);
    }

    private static IEnumerable<StatisticsEntity> ByName(HypervisorCmdlet cmdlet, string name)
    {
        StatisticsEntity[] found = [.. cmdlet.VIHost.FindMachines(name).Select(machine => Of(machine, cmdlet.VIHost))];
        if (new NamePattern(name).IsMatch(Environment.MachineName))
        {
            found = [.. found, Of(cmdlet.VIHost)];
        }

        if (!NamePattern.ContainsWildcards(name))
        {
            found =
            [
                .. found,
                .. cmdlet.VIHost.FindResourcePools(name).Select(pool => new StatisticsEntity(pool, pool.Id, cmdlet.VIHost)),
                .. Datastores.Named(cmdlet.VIHost, name).Select(datastore => new StatisticsEntity(datastore, datastore.Id, cmdlet.VIHost)),
            ];
        }

        if (found.Length == 0 && !NamePattern.ContainsWildcards(name))
        {
            cmdlet.Complain(cmdlet.NotFound(name));
        }

        return found;
    }
}

/// <summary>Lets a name stand where a machine or the host is asked for; the command looks it up.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class StatisticsEntityTransformationAttribute : ArgumentTransformationAttribute
{
    /// <inheritdoc/>
    public override object Transform(EngineIntrinsics engineIntrinsics, object inputData) => Transform(inputData);

    internal static object Transform(object inputData) => ReferenceTransformation.Unwrap(inputData) switch
    {
        null => null!,
        string name => VirtualMachine.Reference(name),
        IEnumerable list => list.Cast<object?>().Select(static item => item is null ? null : Transform(item)).ToArray(),
        object other => other,
    };
}
