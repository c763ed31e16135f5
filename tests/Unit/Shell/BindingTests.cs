using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Partitions;
using Hypervisor.Shell.Commands;
using Hypervisor.Shell.Language;

namespace Hypervisor.Tests.Unit.Shell;

public sealed class BindingTests : IDisposable
{
    private readonly ShellHost _shell = new();

    public void Dispose() => _shell.Dispose();

    [Fact]
    public void Every_command_is_found_by_the_name_of_its_class()
    {
        Assert.NotEmpty(CommandCatalog.All);
        Assert.All(CommandCatalog.All, static command => Assert.Equal(command.Type, CommandCatalog.Find(command.Name.ToUpperInvariant())?.Type));
        Assert.Null(CommandCatalog.Find("Get-Nothing"));
        Assert.Null(CommandCatalog.Find("GetVM"));
    }

    [Fact]
    public void Names_positions_beginnings_and_units_bind()
    {
        var machine = (VirtualMachine)Assert.Single(_shell.Run("new-vm web -memorygb 0.5 -numc 4 -CoresPer 2 -back software -Notes 'a b'"));
        Assert.Equal(("web", 512, 4, 2, BackendKind.Software, "a b"), (machine.Name, machine.MemoryMB, machine.NumCpu, machine.CoresPerSocket, machine.Backend, machine.Notes));
    }

    [Fact]
    public void Lists_tables_and_aliases_bind()
    {
        string a = _shell.Temporary.File("a.raw"), b = _shell.Temporary.File("b.raw");
        var machine = (VirtualMachine)Assert.Single(_shell.Run($"New-VM x -DiskPath '{a}','{b}' -AdvancedSetting @{{debugExit.port=0xf4; processor.codeCacheMB=32}} -Description d -PortForward 2222:22"));
        Assert.Equal([a, b], machine.DiskPath);
        Assert.Equal(("0xf4", "32", "d"), (machine.ExtensionData.Config.AdvancedSettings["debugExit.port"], machine.ExtensionData.Config.AdvancedSettings["processor.codeCacheMB"], machine.Notes));
        Assert.Equal(["tcp:127.0.0.1:2222:22"], machine.PortForward);
    }

    [Theory]
    [InlineData("New-VM", "needs -Name")]
    [InlineData("New-VM a -NumCpu x", "a whole number is needed")]
    [InlineData("New-VM a -NumCpu 1.5", "whole number")]
    [InlineData("New-VM a -NumCpu 99999999999", "too large")]
    [InlineData("New-VM a -Backend Xen", "Auto, Kvm, Whp, Software")]
    [InlineData("New-VM a -Backend 2", "Auto, Kvm, Whp, Software", true)]
    [InlineData("New-VM a -Memory 5", "ambiguous")]
    [InlineData("New-VM a -Nonsense 5", "no parameter -Nonsense")]
    [InlineData("New-VM a -Memry 5", "Did you mean -MemoryMB?")]
    [InlineData("New-VM a -WhatIff", "Did you mean -WhatIf?")]
    [InlineData("New-VM a -Name b", "no place for 'a'")]
    [InlineData("New-VM a b", "no place for 'b'")]
    [InlineData("New-VM -Name a -Name b", "twice")]
    [InlineData("New-VM a -NumCpu", "needs a value")]
    [InlineData("New-VM a -NumCpu 1,2", "not a list")]
    [InlineData("Get-VM -Name a -Id 00000000-0000-0000-0000-000000000000", "does not go together")]
    [InlineData("Stop-VM a -TimeoutSeconds 0", "from 1 to 86400")]
    [InlineData("Get-VM ''", "must not be empty")]
    [InlineData("Get-VM -Id x", "Guid")]
    [InlineData("Get-VM -ErrorAction Maybe", "Stop")]
    [InlineData("Get-VM -WhatIf", "no parameter -WhatIf")]
    public void What_does_not_fit_is_a_usage_error_that_says_why(string line, string reason, bool mayFit = false)
    {
        if (mayFit)
        {
            Assert.Single(_shell.Run(line));
            return;
        }

        Assert.Contains(reason, Assert.Throws<UsageException>(() => _shell.Run(line)).Message, StringComparison.Ordinal);
        Assert.Empty(_shell.Temporary.Host.GetMachines());
    }

    [Fact]
    public void An_unknown_command_is_named_with_its_nearest_neighbour()
    {
        Assert.Contains("Did you mean Get-VM?", Assert.Throws<UsageException>(() => _shell.Run("Get-VN")).Message, StringComparison.Ordinal);
        Assert.Contains("PowerShell", Assert.Throws<UsageException>(() => _shell.Run("Get-VM | Select-Object Name")).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Powering_off_at_once_asks_and_shutting_down_does_not()
    {
        _shell.Run("New-VM a");
        _shell.Run("Stop-VM a");
        Assert.DoesNotContain(_shell.Screen.Lines, static line => line.StartsWith("asked", StringComparison.Ordinal));

        _shell.Run("Stop-VM a -Kill");
        Assert.Contains("nobody to ask", _shell.Screen.Lines[^1], StringComparison.Ordinal);

        _shell.Screen.Answers.Enqueue(Hypervisor.Shell.Execution.Answer.No);
        _shell.Run("Stop-VM a -Kill");
        Assert.Contains("asked Power off", _shell.Screen.Lines[^1], StringComparison.Ordinal);

        _shell.Run("Stop-VM a -Kill -Confirm:$false");
        Assert.Contains("powered off", _shell.Screen.Lines[^1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("4KB", 4096L)]
    [InlineData("0x1F", 31L)]
    [InlineData("1e3", 1000L)]
    [InlineData("-7", -7L)]
    [InlineData("2GB", 2147483648L)]
    public void Numbers_have_PowerShells_spellings(string text, long value) =>
        Assert.Equal(value, ValueConverter.Convert(text, typeof(long), "x"));

    [Fact]
    public void A_list_in_one_system_word_is_split_only_for_a_list()
    {
        Assert.Equal((string[])["a", "b"], ValueConverter.Convert(new SystemWord("a,b"), typeof(string[]), "x"));
        Assert.Equal("a,b", ValueConverter.Convert(new SystemWord("a,b"), typeof(string), "x"));
    }
}
