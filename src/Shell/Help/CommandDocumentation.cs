using System.Xml;
using Hypervisor.Cmdlets;
using Hypervisor.Shell.Commands;

namespace Hypervisor.Shell.Help;

/// <summary>An example of a command's use.</summary>
internal sealed record CommandExample(string Code, string Remark);

/// <summary>
/// What the documentation comments of a command's class say: the one source of <c>hv help</c> and, by <see cref="MamlWriter"/>, of
/// PowerShell's <c>Get-Help</c>.
/// </summary>
internal sealed class CommandDocumentation
{
    private static readonly Lazy<XmlDocument> Comments = new(Load);

    private readonly CommandDefinition _command;

    public CommandDocumentation(CommandDefinition command)
    {
        _command = command;
        string summary = Text(Member($"T:{command.Type.FullName}")?["summary"]);

        // A class's summary begins with the command's name; the synopsis stands under it anyway.
        string prefix = command.Name + ": ";
        Description = summary.StartsWith(prefix, StringComparison.Ordinal) ? Capitalised(summary[prefix.Length..]) : summary;
        int end = Description.IndexOf(". ", StringComparison.Ordinal);
        Synopsis = end < 0 ? Description : Description[..(end + 1)];
        Examples = [.. Member($"T:{command.Type.FullName}")?.SelectNodes("example")!.Cast<XmlElement>()
            .Select(static example => new CommandExample(Text(example["code"]), Text(example, except: "code"))) ?? []];
    }

    public string Synopsis { get; }

    public string Description { get; }

    public IReadOnlyList<CommandExample> Examples { get; }

    /// <summary>What a parameter is for.</summary>
    public string Of(ParameterDefinition parameter) => Text(Member($"P:{parameter.Property.DeclaringType!.FullName}.{parameter.Name}")?["summary"]);

    /// <summary>How the command is written in one of its parameter sets, in PowerShell's notation.</summary>
    public string Syntax(string set)
    {
        IEnumerable<string> parts = InOrder(set).Select(item =>
        {
            string type = TypeName(item.Parameter.Type);
            string name = item.Use.Position is null ? $"-{item.Parameter.Name}" : $"[-{item.Parameter.Name}]";
            string whole = item.Parameter.IsSwitch ? $"-{item.Parameter.Name}" : $"{name} <{type}>";
            return item.Use.Mandatory ? whole : $"[{whole}]";
        });
        IEnumerable<string> common = CommonParameters.NamesFor(_command).Where(static name => name is "WhatIf" or "Confirm").Select(static name => $"[-{name}]");
        return string.Join(' ', [_command.Name, .. parts, .. common]);
    }

    /// <summary>Parameters of a set in the order in which they are written: by position, then mandatory ones, then the rest.</summary>
    public IEnumerable<(ParameterDefinition Parameter, ParameterUse Use)> InOrder(string set) => _command.Parameters
        .Select(parameter => (Parameter: parameter, Use: parameter.UseIn(set)!))
        .Where(static item => item.Use is not null)
        .OrderBy(static item => item.Use.Position ?? int.MaxValue)
        .ThenByDescending(static item => item.Use.Mandatory);

    /// <summary>A type as users write it.</summary>
    public static string TypeName(Type type)
    {
        Type item = type.IsArray ? type.GetElementType()! : Nullable.GetUnderlyingType(type) ?? type;
        string name = item == typeof(int) ? "int" : item == typeof(long) ? "long" : item == typeof(bool) ? "bool" : item == typeof(double) ? "double" : item == typeof(string) || item == typeof(decimal) || item == typeof(Guid)
            ? item.Name.ToLowerInvariant()
            : item == typeof(System.Management.Automation.SwitchParameter) ? "switch" : item == typeof(System.Collections.Hashtable) ? "hashtable" : item.Name;
        return type.IsArray ? name + "[]" : name;
    }

    private static string Capitalised(string text) => text.Length == 0 ? text : char.ToUpperInvariant(text[0]) + text[1..];

    private static XmlElement? Member(string name) => (XmlElement?)Comments.Value.SelectSingleNode($"/doc/members/member[@name='{name}']");

    private static XmlDocument Load()
    {
        string path = Path.ChangeExtension(typeof(HypervisorCmdlet).Assembly.Location, ".xml");
        var document = new XmlDocument();
        if (File.Exists(path))
        {
            document.Load(path);
        }

        return document;
    }

    private static string Text(XmlElement? element, string? except = null)
    {
        if (element is null)
        {
            return "";
        }

        IEnumerable<string> parts = element.ChildNodes.Cast<XmlNode>().Where(node => node.Name != except).Select(static node => node switch
        {
            XmlElement { Name: "see" } see => see.GetAttribute("cref") is { Length: > 0 } reference ? reference[(reference.LastIndexOf('.') + 1)..] : see.GetAttribute("langword"),
            _ => node.InnerText,
        });
        return string.Join(' ', string.Concat(parts).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
    }
}
