using System.Text;
using System.Xml;
using Hypervisor.Shell.Commands;

namespace Hypervisor.Shell.Help;

/// <summary>
/// Writes PowerShell's help file of all commands. <c>hv help --maml</c> makes <c>module/en-US/Hypervisor.Cmdlets.dll-Help.xml</c>; a test
/// holds that file to it.
/// </summary>
internal static class MamlWriter
{
    private const string Maml = "http://schemas.microsoft.com/maml/2004/10";
    private const string Command = "http://schemas.microsoft.com/maml/dev/command/2004/10";
    private const string Dev = "http://schemas.microsoft.com/maml/dev/2004/10";

    private static readonly (string Name, string Alias, string Description)[] Confirmation =
    [
        ("WhatIf", "wi", "Shows what would be done, and does nothing."),
        ("Confirm", "cf", "Asks before it is done; -Confirm:$false does not ask."),
    ];

    /// <summary>The whole file.</summary>
    public static string Write()
    {
        var text = new StringBuilder();
        using (var writer = XmlWriter.Create(text, new XmlWriterSettings { Indent = true, NewLineChars = "\n", OmitXmlDeclaration = true }))
        {
            writer.WriteStartElement("helpItems", "http://msh");
            writer.WriteAttributeString("schema", "maml");
            writer.WriteAttributeString("xmlns", "maml", null, Maml);
            writer.WriteAttributeString("xmlns", "command", null, Command);
            writer.WriteAttributeString("xmlns", "dev", null, Dev);
            foreach (CommandDefinition command in CommandCatalog.All)
            {
                WriteCommand(writer, command, new CommandDocumentation(command));
            }

            writer.WriteEndElement();
        }

        return text.Append('\n').ToString();
    }

    private static void WriteCommand(XmlWriter writer, CommandDefinition command, CommandDocumentation documentation)
    {
        writer.WriteStartElement("command", Command);
        writer.WriteStartElement("details", Command);
        writer.WriteElementString("name", Command, command.Name);
        Paragraph(writer, "description", documentation.Synopsis);
        writer.WriteElementString("verb", Command, command.Verb);
        writer.WriteElementString("noun", Command, command.Noun);
        writer.WriteEndElement();
        Paragraph(writer, "description", documentation.Description);

        writer.WriteStartElement("syntax", Command);
        foreach (string set in command.Sets)
        {
            writer.WriteStartElement("syntaxItem", Command);
            writer.WriteElementString("name", Maml, command.Name);
            foreach ((ParameterDefinition parameter, ParameterUse use) in documentation.InOrder(set))
            {
                WriteParameter(writer, parameter, use, documentation);
            }

            WriteConfirmation(writer, command);
            writer.WriteEndElement();
        }

        writer.WriteEndElement();
        writer.WriteStartElement("parameters", Command);
        foreach (ParameterDefinition parameter in command.Parameters)
        {
            WriteParameter(writer, parameter, parameter.Uses[0], documentation);
        }

        WriteConfirmation(writer, command);
        writer.WriteEndElement();
        WriteTypes(writer, "inputTypes", "inputType", command.InputTypes);
        WriteTypes(writer, "returnValues", "returnValue", command.OutputTypes);
        writer.WriteStartElement("examples", Command);
        for (int i = 0; i < documentation.Examples.Count; i++)
        {
            writer.WriteStartElement("example", Command);
            writer.WriteElementString("title", Maml, $"Example {i + 1}");
            writer.WriteElementString("code", Dev, documentation.Examples[i].Code);
            Paragraph(writer, "remarks", documentation.Examples[i].Remark, Dev);
            writer.WriteEndElement();
        }

        writer.WriteEndElement();
        writer.WriteEndElement();
    }

    private static void WriteParameter(XmlWriter writer, ParameterDefinition parameter, ParameterUse use, CommandDocumentation documentation)
    {
        string pipeline = (use.FromPipeline, use.FromPipelineByName) switch
        {
            (true, true) => "true (ByValue, ByPropertyName)",
            (true, false) => "true (ByValue)",
            (false, true) => "true (ByPropertyName)",
            _ => "false",
        };
        writer.WriteStartElement("parameter", Command);
        writer.WriteAttributeString("required", use.Mandatory ? "true" : "false");
        writer.WriteAttributeString("globbing", documentation.Of(parameter).Contains("wildcards", StringComparison.Ordinal) || parameter.TakesNames ? "true" : "false");
        writer.WriteAttributeString("pipelineInput", pipeline);
        writer.WriteAttributeString("position", use.Position?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "named");
        writer.WriteAttributeString("aliases", parameter.Aliases.Count == 0 ? "none" : string.Join(", ", parameter.Aliases));
        writer.WriteElementString("name", Maml, parameter.Name);
        Paragraph(writer, "description", documentation.Of(parameter));
        if (!parameter.IsSwitch)
        {
            writer.WriteStartElement("parameterValue", Command);
            writer.WriteAttributeString("required", "true");
            writer.WriteString(CommandDocumentation.TypeName(parameter.Type));
            writer.WriteEndElement();
        }

        writer.WriteEndElement();
    }

    private static void WriteTypes(XmlWriter writer, string list, string element, IReadOnlyList<Type> types)
    {
        writer.WriteStartElement(list, Command);
        foreach (Type type in types)
        {
            writer.WriteStartElement(element, Command);
            writer.WriteStartElement("type", Dev);
            writer.WriteElementString("name", Maml, type.FullName);
            writer.WriteEndElement();
            writer.WriteEndElement();
        }

        writer.WriteEndElement();
    }

    // PowerShell adds these two to a command by itself, but to its help only where there is no help file.
    private static void WriteConfirmation(XmlWriter writer, CommandDefinition command)
    {
        if (!command.SupportsShouldProcess)
        {
            return;
        }

        foreach ((string name, string alias, string description) in Confirmation)
        {
            writer.WriteStartElement("parameter", Command);
            writer.WriteAttributeString("required", "false");
            writer.WriteAttributeString("globbing", "false");
            writer.WriteAttributeString("pipelineInput", "false");
            writer.WriteAttributeString("position", "named");
            writer.WriteAttributeString("aliases", alias);
            writer.WriteElementString("name", Maml, name);
            Paragraph(writer, "description", description);
            writer.WriteEndElement();
        }
    }

    private static void Paragraph(XmlWriter writer, string element, string text, string elementNamespace = Maml)
    {
        writer.WriteStartElement(element, elementNamespace);
        writer.WriteElementString("para", Maml, text);
        writer.WriteEndElement();
    }
}
