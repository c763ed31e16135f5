using System.Collections;
using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Lets a name stand where a resource pool is asked for; the command looks it up in <see cref="ResourcePools.Resolve"/>.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class ResourcePoolTransformationAttribute : ArgumentTransformationAttribute
{
    /// <inheritdoc/>
    public override object Transform(EngineIntrinsics engineIntrinsics, object inputData) => Transform(inputData);

    internal static object Transform(object inputData)
    {
        object value = Unwrap(inputData);
        return value switch
        {
            string name => ResourcePool.Reference(name),
            ResourcePool => value,
            IEnumerable list => Items(list),
            _ => inputData,
        };
    }

    private static object Items(IEnumerable list)
    {
        object[] items = [.. list.Cast<object?>().Select(static item => item is null ? null! : Unwrap(item) is string name ? ResourcePool.Reference(name) : Unwrap(item))];
        return items.All(static item => item is ResourcePool) ? items.Cast<ResourcePool>().ToArray() : items;
    }

    private static object Unwrap(object value) => value is PSObject wrapped ? wrapped.BaseObject : value;
}
