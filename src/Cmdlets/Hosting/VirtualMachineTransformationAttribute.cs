using System.Collections;
using System.Management.Automation;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>
/// Lets a name stand where a machine is asked for. The name is looked up by the command itself, which knows the host folder, in
/// <see cref="HypervisorCmdlet.Resolve"/>.
/// </summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class VirtualMachineTransformationAttribute : ArgumentTransformationAttribute
{
    /// <inheritdoc/>
    public override object Transform(EngineIntrinsics engineIntrinsics, object inputData) => Transform(inputData);

    internal static object Transform(object inputData)
    {
        object value = Unwrap(inputData);
        return value switch
        {
            string name => VirtualMachine.Reference(name),
            VirtualMachine => value,
            IEnumerable list => Items(list),
            _ => inputData,
        };
    }

    private static object Items(IEnumerable list)
    {
        object[] items = [.. list.Cast<object?>().Select(static item => item is null ? null! : Unwrap(item) is string name ? VirtualMachine.Reference(name) : Unwrap(item))];
        return items.All(static item => item is VirtualMachine) ? items.Cast<VirtualMachine>().ToArray() : items;
    }

    private static object Unwrap(object value) => value is PSObject wrapped ? wrapped.BaseObject : value;
}
