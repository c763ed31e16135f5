using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Shell.Execution;
using Hypervisor.Tests.Unit.Inventory;
using Hypervisor.Tests.Unit.Shell;

namespace Hypervisor.Tests.Unit.Cmdlets;

/// <summary>The commands as a user of hv gives them; tests/Pester gives the same ones in PowerShell.</summary>
public sealed class CommandTests : IDisposable
{
    private readonly ShellHost _shell = new();

    public void Dispose() => _shell.Dispose();

    [Fact]
    public void A_machine_is_made_started_and_stopped_in_one_pipeline()
    {
        var machine = (VirtualMachine)Assert.Single(_shell.Run("New-VM a | Start-VM"));
        Assert.Equal(PowerState.PoweredOn, machine.PowerState);
        machine = (VirtualMachine)Assert.Single(_shell.Run("Get-VM a | Stop-VM"));
        Assert.Equal(PowerState.PoweredOff, machine.PowerState);
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void Names_with_wildcards_stand_for_machines()
    {
        _shell.Run("New-VM web1; New-VM web2; New-VM db");
        Assert.Equal(["web1", "web2"], Names(_shell.Run("Get-VM web*")));
        Assert.Equal(["web1", "web2"], Names(_shell.Run("Start-VM web*")));
        Assert.Equal(["db", "web1"], Names(_shell.Run("Get-VM db,web1,WEB1")));
        Assert.Empty(_shell.Run("Get-VM none*"));
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void A_name_that_stands_for_nothing_is_an_error_that_the_command_survives()
    {
        _shell.Run("New-VM a");
        Assert.Equal(["a"], Names(_shell.Run("Get-VM nope,a")));
        Assert.False(_shell.Succeeded);
        Assert.StartsWith("error Get-VM: There is no virtual machine named 'nope'", Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
        Assert.Empty(_shell.Run("Get-VM nope,a -ErrorAction Stop"));
        Assert.Equal(["a"], Names(_shell.Run("Get-VM nope,a -ErrorAction Ignore")));
        Assert.True(_shell.Succeeded);
    }

    [Fact]
    public void What_if_changes_nothing()
    {
        _shell.Run("New-VM a");
        _shell.Run("New-VM b -WhatIf; Start-VM a -WhatIf; Set-VM a -NumCpu 2 -WhatIf; Remove-VM a -WhatIf");
        VirtualMachine machine = Assert.Single(_shell.Temporary.Host.GetMachines());
        Assert.Equal((PowerState.PoweredOff, 1), (machine.PowerState, machine.NumCpu));
        Assert.Equal(4, _shell.Screen.Lines.Count(static line => line.StartsWith("what if", StringComparison.Ordinal)));
    }

    [Fact]
    public void Removing_asks_unless_told_not_to()
    {
        _shell.Run("New-VM a; New-VM b; New-VM c; New-VM d");
        _shell.Run("Remove-VM a");
        Assert.False(_shell.Succeeded);
        Assert.Contains("-Confirm:false", _shell.Screen.Lines[^1], StringComparison.Ordinal);

        _shell.Screen.Answers.Enqueue(Answer.No);
        _shell.Screen.Answers.Enqueue(Answer.YesToAll);
        _shell.Run("Get-VM | Remove-VM");
        Assert.Equal(["a"], Names(_shell.Temporary.Host.GetMachines()));
        _shell.Run("Remove-VM a -Confirm:$false");
        Assert.Empty(_shell.Temporary.Host.GetMachines());
    }

    [Fact]
    public void Set_changes_what_is_given_and_nothing_else()
    {
        string disk = _shell.Temporary.File("a.raw"), kernel = _shell.Temporary.File("kernel");
        _shell.Run($"New-VM a -DiskPath '{disk}' -KernelPath '{kernel}' -KernelCommandLine quiet -AdvancedSetting @{{'debugExit.port'='0xf4';'processor.codeCacheMB'=32}} -NumCpu 4 -CoresPerSocket 4");
        var machine = (VirtualMachine)Assert.Single(_shell.Run("Set-VM a -MemoryGB 1 -NumCpu 6 -AdvancedSetting @{'debugExit.port'=$null;'sched.mem.maxmemctl'=10} -KernelCommandLine '' -Notes n -PortForward 2222:22"));
        VirtualMachineConfiguration now = machine.ExtensionData.Config;
        Assert.Equal((1024, 6, 1, kernel, null, "n"), (now.MemoryMB, now.NumCpu, now.CoresPerSocket, now.KernelPath, now.KernelCommandLine, now.Notes));
        Assert.Equal(["processor.codeCacheMB", "sched.mem.maxmemctl"], now.AdvancedSettings.Keys.Order());
        Assert.Equal([disk], machine.DiskPath);
        Assert.Single(now.NetworkAdapters[0].PortForwards);
        machine = (VirtualMachine)Assert.Single(_shell.Run("Set-VM a -DiskPath @() -NetworkName None -PortForward @() -Name b"));
        Assert.Equal(("b", 0, 0), (machine.Name, machine.DiskPath.Length, machine.ExtensionData.Config.NetworkAdapters.Count));
    }

    [Theory]
    [InlineData("New-VM a -MemoryMB 100000000000", "not possible")]
    [InlineData("New-VM a -MemoryGB 0.0001", "not a whole number of MB")]
    [InlineData("New-VM a -MemoryMB 512 -MemoryGB 1", "differ")]
    [InlineData("New-VM a -MemoryMB -5", "not possible")]
    [InlineData("New-VM a -MemoryGB 100", "more than this host has (8192 MB)")]
    [InlineData("New-VM a -NumCpu 1000", "1 to 64")]
    [InlineData("New-VM a/b", "characters? that names must not have")]
    [InlineData("New-VM a -KernelPath /nowhere/vmlinuz", "does not exist")]
    [InlineData("New-VM a -PortForward 22", "not a port forward")]
    [InlineData("New-VM a -NetworkName None -PortForward 2222:22", "needs a network adapter")]
    public void Bad_values_are_errors_that_say_why(string line, string reason)
    {
        Assert.Empty(_shell.Run(line));
        Assert.False(_shell.Succeeded);
        Assert.Matches(reason.Replace("(", "\\(", StringComparison.Ordinal).Replace(")", "\\)", StringComparison.Ordinal).Replace("characters?", "character", StringComparison.Ordinal), Assert.Single(_shell.Screen.Lines));
    }

    [Fact]
    public void Run_async_gives_a_task_that_can_be_waited_for()
    {
        var task = (VITask)Assert.Single(_shell.Run("New-VM a -RunAsync"));
        Assert.Equal("a", Assert.IsType<VirtualMachine>(task.Wait()).Name);
        Assert.Equal(["a"], Names(_shell.Run("Start-VM a -RunAsync | Wait-Task")));
        Assert.Empty(_shell.Run("Start-VM a -RunAsync | Wait-Task"));
        Assert.False(_shell.Succeeded);
        Assert.Equal(3, _shell.Run("Get-Task").Count);
        Assert.Equal("PowerOnVM_Task", Assert.IsType<VITask>(Assert.Single(_shell.Run("Get-Task -Status Error"))).Name);
    }

    [Fact]
    public void Events_are_found_by_machine_also_after_it_is_gone()
    {
        _shell.Run("New-VM a; New-VM b; Remove-VM a -Confirm:$false");
        Assert.Equal(["VmRemovedEvent", "VmCreatedEvent"], _shell.Run("Get-VIEvent a").Cast<VIEvent>().Select(static entry => entry.EventTypeId));
        Assert.Single(_shell.Run("Get-VM b | Get-VIEvent"));
        Assert.Empty(_shell.Run("Get-VM none* | Get-VIEvent"));
        Assert.Equal(2, _shell.Run("Get-VIEvent -MaxSamples 2").Count);
    }

    [Fact]
    public void A_conversation_with_a_guest()
    {
        _shell.Temporary.Factory.OnStart = static machine =>
        {
            machine.Console.InputHandler = input =>
            {
                machine.Print($"you said {System.Text.Encoding.UTF8.GetString(input.Span).Trim()}\r\n$ ");
                return input.Length;
            };
            machine.Print("Linux version 6.1\r\nready 42 MB\r\n$ ");
        };
        _shell.Run("New-VM a | Start-VM");
        var ready = (ConsoleMatch)Assert.Single(_shell.Run("Wait-VMConsoleText a -Pattern '^ready (\\d+) MB'"));
        Assert.Equal(("ready 42 MB", "42"), (ready.Line, ready.Groups[1]));
        _shell.Run("Send-VMConsoleText a hello");
        Assert.Equal("$ you said hello", ((ConsoleMatch)Assert.Single(_shell.Run("Get-VM a | Wait-VMConsoleText -Text 'you said'"))).Line);

        Assert.Empty(_shell.Run("Wait-VMConsoleText a 'Linux version' -TimeoutSeconds 1"));
        Assert.Contains("ran for 1 seconds without writing 'Linux version'", _shell.Screen.Lines[^1], StringComparison.Ordinal);
        Assert.Single(_shell.Run("Wait-VMConsoleText a 'Linux version' -FromStart"));
    }

    [Fact]
    public void A_machine_that_ends_ends_the_wait_for_its_console()
    {
        _shell.Temporary.Factory.OnStart = static machine =>
        {
            machine.Print("Kernel panic\r\n");
            machine.Crash();
        };
        _shell.Run("New-VM a | Start-VM; Wait-VMConsoleText a login: -TimeoutSeconds 600");
        Assert.Contains("powered off without writing 'login:'. The last that came:", _shell.Screen.Lines[^1], StringComparison.Ordinal);
        Assert.Contains("Kernel panic", _shell.Screen.Lines[^1], StringComparison.Ordinal);
    }

    [Fact]
    public void A_machine_without_a_console_says_why()
    {
        _shell.Run("New-VM a; Send-VMConsoleText a hi");
        Assert.Contains("powered off and has no console", _shell.Screen.Lines[^1], StringComparison.Ordinal);
        Assert.Empty(_shell.Run("Wait-VMConsoleText a '(' -ErrorAction SilentlyContinue"));
    }

    [Fact]
    public void The_host_shows_what_it_has()
    {
        var host = (VMHost)Assert.Single(_shell.Run("Get-VMHost"));
        Assert.Equal((TemporaryHost.PhysicalMemoryMB, _shell.Temporary.Folder, "a test"), (host.MemoryTotalMB, host.Path, host.Backends[0].Reason));
        Assert.Empty(_shell.Run("Get-VMHost nobody"));
        Assert.False(_shell.Succeeded);
    }

    [Fact]
    public void A_configuration_that_cannot_be_read_is_a_warning_beside_the_others()
    {
        _shell.Run("New-VM a; New-VM b");
        File.WriteAllText(_shell.Temporary.ConfigurationOf(_shell.Temporary.Host.FindMachines("a")[0]), "{");
        Assert.Equal(["b"], Names(_shell.Run("Get-VM")));
        Assert.StartsWith("warning", Assert.Single(_shell.Screen.Lines), StringComparison.Ordinal);
        Assert.True(_shell.Succeeded);
    }

    private static IEnumerable<string> Names(IEnumerable<object> machines) => machines.Cast<VirtualMachine>().Select(static machine => machine.Name);
}
