using Hypervisor.Shell.Prompt;
using Hypervisor.Tests.Unit.Inventory;

namespace Hypervisor.Tests.Unit.Shell;

[Collection("HYPERVISOR_HOME")]
public sealed class PromptTests : IDisposable
{
    private readonly TemporaryHost _temporary = new();
    private readonly string? _home = Environment.GetEnvironmentVariable("HYPERVISOR_HOME");

    public PromptTests() => Environment.SetEnvironmentVariable("HYPERVISOR_HOME", _temporary.Folder);

    public void Dispose()
    {
        Environment.SetEnvironmentVariable("HYPERVISOR_HOME", _home);
        _temporary.Dispose();
    }

    [Theory]
    [InlineData("get-vmh", "Get-VMHost")]
    [InlineData("Get-VM | sta", "Start-VM")]
    [InlineData("Get-VM; remove-v", "Remove-VM")]
    [InlineData("help New-V", "New-VM")]
    [InlineData("New-VM a -KernelC", "-KernelCommandLine")]
    [InlineData("Stop-VM -Wh", "-WhatIf")]
    [InlineData("New-VM a -Backend s", "Software")]
    [InlineData("Start-VM we", "web")]
    [InlineData("Start-VM -VM tw", "'two words'")]
    [InlineData("Start-VM 'two w", "'two words'")]
    [InlineData("Get-VM web,tw", "'two words'")]
    [InlineData("Set-VM -NumCpu 2 we", "web")]
    [InlineData("Start-VM -RunAsync we", "web")]
    public void The_word_at_the_cursor_is_completed(string line, string expected)
    {
        _temporary.Create("web");
        _temporary.Create("two words");
        Assert.Equal([expected], CommandCompleter.Complete(line, line.Length).Candidates);
    }

    [Fact]
    public void Files_complete_parameters_that_are_paths()
    {
        string path = _temporary.File("vmlinuz-6.1");
        string line = "New-VM a -KernelPath " + path[..^4];
        Assert.Equal([path], CommandCompleter.Complete(line, line.Length).Candidates);
        Assert.Empty(CommandCompleter.Complete("New-VM a -KernelPath /nowhere/at/all", 36).Candidates);
    }

    [Theory]
    [InlineData("Get-VN\u0008M a", "Get-VM a")]
    [InlineData("b\u0001a\u0005c", "abc")]
    [InlineData("one two\u0017three", "one three")]
    [InlineData("junk\u0015Get-VM", "Get-VM")]
    [InlineData("Get-VMH\t", "Get-VMHost ")]
    [InlineData("Remove-VM x\u001bGet-VM", "Get-VM")]
    public void Keys_edit_the_line(string keys, string expected) =>
        Assert.Equal(expected, Type(keys, new CommandHistory(null)));

    [Fact]
    public void Arrows_go_through_the_history_and_back_to_what_was_typed()
    {
        var history = new CommandHistory(null);
        history.Add("first");
        history.Add("second");
        history.Add("second");
        Assert.Equal("first", Type("new\u0010\u0010", history));
        Assert.Equal("new", Type("new\u0010\u000e", history));
    }

    [Fact]
    public void History_is_kept_for_the_next_session()
    {
        string path = _temporary.File("history", 0);
        var history = new CommandHistory(path);
        history.Add("Get-VM");
        history.Save();
        Assert.Equal("Get-VM", new CommandHistory(path).Previous(""));
    }

    [Fact]
    public void Control_D_ends_only_an_empty_line()
    {
        Assert.Null(Type("\u0004", new CommandHistory(null)));
        Assert.Equal("a", Type("a\u0004", new CommandHistory(null)));
    }

    // Control characters stand for their keys: 0x01 is Ctrl-A, 0x08 Backspace, 0x09 Tab, 0x1b Escape.
    private static string? Type(string keys, CommandHistory history)
    {
        var queue = new Queue<ConsoleKeyInfo>(keys.Append('\r').Select(static character => character switch
        {
            '\r' => new ConsoleKeyInfo('\r', ConsoleKey.Enter, false, false, false),
            '\b' => new ConsoleKeyInfo('\b', ConsoleKey.Backspace, false, false, false),
            '\t' => new ConsoleKeyInfo('\t', ConsoleKey.Tab, false, false, false),
            '\u001b' => new ConsoleKeyInfo('\u001b', ConsoleKey.Escape, false, false, false),
            < ' ' => new ConsoleKeyInfo(character, (ConsoleKey)(character + 'A' - 1), false, false, true),
            _ => new ConsoleKeyInfo(character, ConsoleKey.None, false, false, false),
        }));
        return new LineEditor(history, queue.Dequeue, TextWriter.Null, static () => 80).ReadLine("hv> ");
    }
}
