using System.Management.Automation;
using System.Reflection;
using Hypervisor.Cmdlets;

namespace Hypervisor.Shell.Commands;

/// <summary>A command, as the attributes of its class describe it.</summary>
internal sealed class CommandDefinition
{
    private readonly CustomAttributeData _attribute;

    private CommandDefinition(Type type, CustomAttributeData attribute)
    {
        Type = type;
        _attribute = attribute;
        Verb = (string)attribute.ConstructorArguments[0].Value!;
        Noun = (string)attribute.ConstructorArguments[1].Value!;
        Parameters = [.. type.GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Select(ParameterDefinition.From)
            .OfType<ParameterDefinition>()
            .OrderBy(static parameter => parameter.Property.DeclaringType == typeof(HypervisorCmdlet))];
        string[] sets = [.. Parameters.SelectMany(static parameter => parameter.Uses).Select(static use => use.Set).Where(static set => set != ParameterUse.AllSets).Distinct()];
        Sets = sets.Length == 0 ? [ParameterUse.AllSets] : sets;
    }

    public Type Type { get; }

    public string Verb { get; }

    public string Noun { get; }

    public string Name => $"{Verb}-{Noun}";

    /// <summary>Other names, such as PowerCLI's.</summary>
    public IReadOnlyList<string> Aliases => [.. Type.GetCustomAttributesData()
        .Where(static data => data.AttributeType == typeof(AliasAttribute))
        .SelectMany(static data => (IEnumerable<CustomAttributeTypedArgument>)data.ConstructorArguments[0].Value!)
        .Select(static argument => (string)argument.Value!)];

    public IReadOnlyList<ParameterDefinition> Parameters { get; }

    /// <summary>What comes through the pipeline.</summary>
    public IReadOnlyList<Type> InputTypes => [.. Parameters.Where(static parameter => parameter.Uses.Any(static use => use.FromPipeline)).Select(static parameter => parameter.ItemType).Distinct()];

    /// <summary>What it gives out.</summary>
    public IReadOnlyList<Type> OutputTypes => [.. Type.GetCustomAttributesData()
        .Where(static data => data.AttributeType == typeof(OutputTypeAttribute))
        .SelectMany(AttributeValues.Flat).OfType<Type>().Where(static type => type != typeof(void)).Distinct()];

    /// <summary>Parameter sets, in order of declaration.</summary>
    public IReadOnlyList<string> Sets { get; }

    public string? DefaultSet => AttributeValues.Named<string>(_attribute, nameof(CmdletAttribute.DefaultParameterSetName));

    public bool SupportsShouldProcess => AttributeValues.Named<bool>(_attribute, nameof(CmdletAttribute.SupportsShouldProcess));

    public ConfirmImpact ConfirmImpact =>
        _attribute.NamedArguments.Any(static named => named.MemberName == nameof(CmdletAttribute.ConfirmImpact))
            ? AttributeValues.Named<ConfirmImpact>(_attribute, nameof(CmdletAttribute.ConfirmImpact))
            : ConfirmImpact.Medium;

    public static CommandDefinition? From(Type type)
    {
        if (type.IsAbstract || !type.IsSubclassOf(typeof(HypervisorCmdlet)))
        {
            return null;
        }

        CustomAttributeData? attribute = type.GetCustomAttributesData().FirstOrDefault(static data => data.AttributeType == typeof(CmdletAttribute));
        return attribute is null ? null : new CommandDefinition(type, attribute);
    }

    public HypervisorCmdlet Create() => (HypervisorCmdlet)Activator.CreateInstance(Type)!;
}
