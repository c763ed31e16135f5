using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Lets a name, or a host for its own pool, stand where a resource pool is asked for; the command looks names up in <see cref="ResourcePools.Resolve"/>.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class ResourcePoolTransformationAttribute : ArgumentTransformationAttribute
{
    /// <inheritdoc/>
    public override object Transform(EngineIntrinsics engineIntrinsics, object inputData) => Transform(inputData);

    internal static object Transform(object inputData) => ReferenceTransformation.Transform(inputData, ResourcePool.Reference, static item => item is VMHost { Host: { } host } ? host.RootPool : item);
}
