using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>Lets a name stand where a host is asked for; the command looks it up in <see cref="VMHosts.Resolve"/>.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class VMHostTransformationAttribute : ArgumentTransformationAttribute
{
    /// <inheritdoc/>
    public override object Transform(EngineIntrinsics engineIntrinsics, object inputData) => Transform(inputData);

    internal static object Transform(object inputData) => ReferenceTransformation.Transform(inputData, VMHost.Reference);
}
