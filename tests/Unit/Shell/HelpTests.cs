using Hypervisor.Shell.Commands;
using Hypervisor.Shell.Help;

namespace Hypervisor.Tests.Unit.Shell;

public sealed class HelpTests
{
    [Fact]
    public void Every_command_has_a_synopsis_examples_and_a_word_on_each_parameter()
    {
        foreach (CommandDefinition command in CommandCatalog.All)
        {
            var documentation = new CommandDocumentation(command);
            Assert.False(string.IsNullOrWhiteSpace(documentation.Synopsis), command.Name);
            Assert.NotEmpty(documentation.Examples);
            Assert.All(documentation.Examples, static example => Assert.NotEmpty(example.Remark));
            Assert.All(command.Parameters, parameter => Assert.False(string.IsNullOrWhiteSpace(documentation.Of(parameter)), $"{command.Name} -{parameter.Name}"));
        }
    }

    [Fact]
    public void PowerShells_help_file_is_what_the_commands_say()
    {
        string path = Path.Combine(Repository.Root, "module", "en-US", "Hypervisor.Cmdlets.dll-Help.xml");
        Assert.True(MamlWriter.Write() == File.ReadAllText(path), "The help file is out of date. Make it anew: ./hv help --maml > module/en-US/Hypervisor.Cmdlets.dll-Help.xml");
    }

    [Fact]
    public void The_manifest_exports_every_command()
    {
        string manifest = File.ReadAllText(Path.Combine(Repository.Root, "Hypervisor.psd1"));
        Assert.All(CommandCatalog.All, command => Assert.Contains($"'{command.Name}'", manifest, StringComparison.Ordinal));
    }

    [Fact]
    public void Syntax_is_written_in_PowerShells_notation() =>
        Assert.Equal(
            "Stop-VM [-VM] <VirtualMachine[]> [-Kill] [-TimeoutSeconds <int>] [-RunAsync] [-HostPath <string>] [-WhatIf] [-Confirm]",
            new CommandDocumentation(CommandCatalog.Find("Stop-VM")!).Syntax(ParameterUse.AllSets));
}
