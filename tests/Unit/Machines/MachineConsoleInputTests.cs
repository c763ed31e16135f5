using Hypervisor.Engine.Machines;

namespace Hypervisor.Tests.Unit.Machines;

/// <summary>Input to a guest that does not read it yet.</summary>
public class MachineConsoleInputTests
{
    private readonly MachineConsole _console = new();
    private readonly List<byte> _taken = [];
    private int _room;

    public MachineConsoleInputTests() => _console.InputHandler = bytes =>
    {
        int count = Math.Min(bytes.Length, _room);
        _taken.AddRange(bytes.Span[..count]);
        _room -= count;
        return count;
    };

    [Fact]
    public async Task Input_waits_for_room_and_goes_on_in_order()
    {
        _room = 2;
        Task sending = _console.SendAsync("abcdef"u8.ToArray());
        Assert.False(sending.IsCompleted);
        _room = 3;
        _console.ResumeInput();
        Assert.True(SpinWait.SpinUntil(() => _taken.Count == 5, TimeSpan.FromMinutes(2)));
        _room = 1;
        _console.ResumeInput();
        await sending.WaitAsync(TimeSpan.FromMinutes(2));
        Assert.Equal("abcdef"u8, [.. _taken]);
    }

    [Fact]
    public async Task The_end_of_the_machine_ends_the_wait()
    {
        Task sending = _console.SendAsync("abc"u8.ToArray());
        Assert.False(sending.IsCompleted);
        _console.Complete();
        await sending.WaitAsync(TimeSpan.FromMinutes(2));
        Assert.Empty(_taken);
    }

    [Fact]
    public async Task A_cancelled_wait_ends()
    {
        using var source = new CancellationTokenSource();
        Task sending = _console.SendAsync("abc"u8.ToArray(), source.Token);
        await source.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending);
    }
}
