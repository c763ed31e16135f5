using System.Reflection;

namespace Hypervisor.Engine.Monitoring.Counters;

/// <summary>A counter as PowerCLI's <c>Get-EsxTop</c> lists it: a kind of thing that is counted, and what is known of each.</summary>
public sealed class EsxTopCounter
{
    private readonly Func<IEnumerable<object>> _take;

    internal EsxTopCounter(string name, Type type, Func<IEnumerable<object>> take)
    {
        (Name, _take) = (name, take);

        // What a record inherits stands behind its own, and what it has for the compiler's sake is not public.
        Fields = [.. type.GetProperties(BindingFlags.Public | BindingFlags.Instance).Select(static property => new EsxTopCounterField(property))];
    }

    /// <summary>Name, such as <c>VCPU</c>.</summary>
    public string Name { get; }

    /// <summary>Its fields: the properties of its values.</summary>
    public IReadOnlyList<EsxTopCounterField> Fields { get; }

    /// <summary>The values as they are now, one object for each thing that is counted.</summary>
    public IReadOnlyList<object> Take() => [.. _take()];

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>A field of a counter.</summary>
public sealed class EsxTopCounterField
{
    internal EsxTopCounterField(PropertyInfo property)
    {
        Name = property.Name;
        Type type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        Type = type == typeof(bool) ? "B" : type == typeof(int) ? "S32" : type == typeof(long) ? "S64" : "CSTR";
    }

    /// <summary>Name, such as <c>UsedTimeInUsec</c>.</summary>
    public string Name { get; }

    /// <summary>Type with ESXi's abbreviations: S32, S64, B (true or false) or CSTR (text).</summary>
    public string Type { get; }

    /// <inheritdoc/>
    public override string ToString() => Name;
}
