using System.Collections;
using System.Management.Automation;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>
/// Lets names stand where objects of the inventory are asked for. A name becomes a reference, which the command itself looks up,
/// because it knows the host folder.
/// </summary>
internal static class ReferenceTransformation
{
    /// <summary>Turns a name, or the names in a list, into references; what is something else stays as it is.</summary>
    /// <param name="inputData">What was given.</param>
    /// <param name="reference">Makes a reference of a name.</param>
    /// <param name="replace">What an object of another kind stands for, or that object.</param>
    public static object Transform<T>(object inputData, Func<string, T> reference, Func<object, object>? replace = null) where T : class
    {
        object value = Unwrap(inputData);
        if (replace?.Invoke(value) is T replacement)
        {
            return replacement;
        }

        return value switch
        {
            string name => reference(name),
            T => value,
            IEnumerable list => Items(list, reference, replace),
            _ => inputData,
        };
    }

    private static object Items<T>(IEnumerable list, Func<string, T> reference, Func<object, object>? replace) where T : class
    {
        object[] items = [.. list.Cast<object?>().Select(item => item is null ? null! : Unwrap(item) is string name ? reference(name) : replace?.Invoke(Unwrap(item)) ?? Unwrap(item))];
        return items.All(static item => item is T) ? items.Cast<T>().ToArray() : items;
    }

    /// <summary>What PowerShell wrapped.</summary>
    public static object Unwrap(object value) => value is PSObject wrapped ? wrapped.BaseObject : value;
}
