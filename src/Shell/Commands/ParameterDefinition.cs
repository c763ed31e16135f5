using System.Management.Automation;
using System.Reflection;
using Hypervisor.Cmdlets.Hosting;

namespace Hypervisor.Shell.Commands;

/// <summary>A parameter of a command, as its attributes describe it.</summary>
/// <remarks>
/// Read from the metadata and not from attribute objects: those of PowerShell's reference assembly keep none of the values that
/// they are given.
/// </remarks>
internal sealed class ParameterDefinition
{
    private ParameterDefinition(PropertyInfo property, IList<CustomAttributeData> attributes)
    {
        Property = property;
        Attributes = attributes;
        Uses = [.. attributes.Where(static data => data.AttributeType == typeof(ParameterAttribute)).Select(ParameterUse.From)];
        Aliases = [.. attributes.Where(static data => data.AttributeType == typeof(AliasAttribute)).SelectMany(AttributeValues.Strings)];
    }

    public PropertyInfo Property { get; }

    public string Name => Property.Name;

    public Type Type => Property.PropertyType;

    /// <summary>Type of one value: of a list's item, without Nullable.</summary>
    public Type ItemType
    {
        get
        {
            Type type = Type.IsArray ? Type.GetElementType()! : Type;
            return Nullable.GetUnderlyingType(type) ?? type;
        }
    }

    public bool IsSwitch => Type == typeof(SwitchParameter);

    public IReadOnlyList<ParameterUse> Uses { get; }

    public IReadOnlyList<string> Aliases { get; }

    public IList<CustomAttributeData> Attributes { get; }

    public static ParameterDefinition? From(PropertyInfo property)
    {
        IList<CustomAttributeData> attributes = property.GetCustomAttributesData();
        return attributes.Any(static data => data.AttributeType == typeof(ParameterAttribute)) ? new ParameterDefinition(property, attributes) : null;
    }

    /// <summary>Names stand for objects in it, with wildcards where it takes a list.</summary>
    public bool TakesNames => Type.IsArray
        && (Has<VirtualMachineTransformationAttribute>() || Has<ResourcePoolTransformationAttribute>() || Has<VMHostTransformationAttribute>() || Has<StatisticsEntityTransformationAttribute>());

    public bool Has<T>() => Attributes.Any(static data => data.AttributeType == typeof(T));

    /// <summary>How the parameter behaves in a set; null when it does not belong to it.</summary>
    public ParameterUse? UseIn(string set) =>
        Uses.FirstOrDefault(use => string.Equals(use.Set, set, StringComparison.OrdinalIgnoreCase)) ?? Uses.FirstOrDefault(static use => use.Set == ParameterUse.AllSets);

    public bool Answers(string name) =>
        string.Equals(Name, name, StringComparison.OrdinalIgnoreCase) || Aliases.Contains(name, StringComparer.OrdinalIgnoreCase);
}

/// <summary>One <see cref="ParameterAttribute"/>.</summary>
internal sealed record ParameterUse(string Set, bool Mandatory, int? Position, bool FromPipeline, bool FromPipelineByName)
{
    /// <summary>PowerShell's name for "in every set".</summary>
    public const string AllSets = "__AllParameterSets";

    public static ParameterUse From(CustomAttributeData data) => new(
        AttributeValues.Named<string>(data, nameof(ParameterAttribute.ParameterSetName)) ?? AllSets,
        AttributeValues.Named<bool>(data, nameof(ParameterAttribute.Mandatory)),
        data.NamedArguments.Any(static named => named.MemberName == nameof(ParameterAttribute.Position))
            ? AttributeValues.Named<int>(data, nameof(ParameterAttribute.Position))
            : null,
        AttributeValues.Named<bool>(data, nameof(ParameterAttribute.ValueFromPipeline)),
        AttributeValues.Named<bool>(data, nameof(ParameterAttribute.ValueFromPipelineByPropertyName)));
}

/// <summary>Reads values that an attribute was written with.</summary>
internal static class AttributeValues
{
    public static T? Named<T>(CustomAttributeData data, string name)
    {
        foreach (CustomAttributeNamedArgument argument in data.NamedArguments)
        {
            if (argument.MemberName == name)
            {
                return argument.TypedValue.ArgumentType.IsEnum ? (T)Enum.ToObject(typeof(T), argument.TypedValue.Value!) : (T?)argument.TypedValue.Value;
            }
        }

        return default;
    }

    public static IEnumerable<string> Strings(CustomAttributeData data) => Flat(data).OfType<string>();

    public static IEnumerable<object?> Flat(CustomAttributeData data)
    {
        foreach (CustomAttributeTypedArgument argument in data.ConstructorArguments)
        {
            if (argument.Value is IEnumerable<CustomAttributeTypedArgument> items)
            {
                foreach (CustomAttributeTypedArgument item in items)
                {
                    yield return item.Value;
                }
            }
            else
            {
                yield return argument.Value;
            }
        }
    }
}
