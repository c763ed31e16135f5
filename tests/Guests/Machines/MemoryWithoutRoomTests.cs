using System.Diagnostics;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Guests.Support;
using Hypervisor.Tests.Unit.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Machines;

/// <summary>Guests that use more memory than they get, on a swap disk that is full.</summary>
public sealed class MemoryWithoutRoomTests : IDisposable
{
    private const long Megabyte = 1 << 20;
    private const int DiskMB = 40, FillerMB = 36, MemoryMB = 48;

    private readonly SmallDisk _disk = new(DiskMB << 20);
    private readonly MemoryConfigurationSource _source = new();
    private readonly MemoryManager _manager;
    private readonly string _filler;

    public MemoryWithoutRoomTests()
    {
        _source.Publish(new MemoryConfiguration { BudgetBytes = 0, ProcessorMHz = 4000 });
        _manager = new MemoryManager(_source) { SwapPathOf = id => Path.Combine(_disk.Folder, $"{id}.vswp") };
        _filler = Path.Combine(_disk.Folder, "filler");
        File.WriteAllBytes(_filler, new byte[FillerMB << 20]);
    }

    public void Dispose()
    {
        _manager.Dispose();
        _disk.Dispose();
    }

    [SmallDiskTheory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public async Task A_guest_waits_while_its_swap_disk_is_full_can_be_reset_and_goes_on_when_there_is_room(BackendKind backend)
    {
        var start = Stopwatch.StartNew();
        using TestGuest guest = Start(backend);
        await UntilItWaits(guest);
        Assert.Contains(guest.Events, static happened => happened.Message.Contains("waits for memory", StringComparison.Ordinal));
        guest.Machine.Reset();
        await Until(guest, () => guest.Output.Count(static character => character == '<') == 2);
        await UntilItWaits(guest);
        Assert.False(guest.Machine.Stopped.IsCompleted);
        File.Delete(_filler);
        await Until(guest, () => guest.Machine.Stopped.IsCompleted);
        MachineStop stop = await guest.Machine.Stopped;
        Assert.Equal((MachineStopReason.DebugExit, 0), (stop.Reason, stop.ExitCode));

        // Once, and again after a minute.
        Assert.InRange(guest.Events.Count(static happened => happened.Message.Contains("could not be swapped", StringComparison.Ordinal)), 1, 1 + (int)start.Elapsed.TotalMinutes);
    }

    [SmallDiskTheory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public async Task A_guest_that_waits_for_memory_is_powered_off_and_leaves_nothing_behind(BackendKind backend)
    {
        for (int i = 0; i < (backend == BackendKind.Software ? 3 : 1); i++)
        {
            using TestGuest guest = Start(backend);
            await UntilItWaits(guest);
            guest.Machine.PowerOff();
            await Until(guest, () => guest.Machine.Stopped.IsCompleted);
            MachineStop stop = await guest.Machine.Stopped;
            Assert.Equal(MachineStopReason.PoweredOff, stop.Reason);
            Assert.DoesNotContain(guest.Events, static happened => happened.Severity == MachineEventSeverity.Error);
            Assert.Equal((0, 0), (_manager.Statistics().Machines.Count, _manager.CountedPages));
            Assert.Equal([_filler], Directory.GetFiles(_disk.Folder));
        }
    }

    private static async Task Until(TestGuest guest, Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(LinuxGuest.Patience);
        while (!condition())
        {
            Assert.False(patience.IsCancellationRequested, $"{guest.Output} {string.Join(' ', guest.Events)}");
            await Task.Delay(20);
        }
    }

    private async Task UntilItWaits(TestGuest guest)
    {
        TimeSpan before = Waited();
        await Until(guest, () => Waited() > before);
    }

    private TimeSpan Waited() => _manager.Statistics().Machines.Single().Pages!.BlockedTime;

    private TestGuest Start(BackendKind backend)
    {
        const uint First = 0x80_0000, End = 0x1C0_0000;
        byte[] kernel = GuestKernel.Assemble(static code =>
        {
            Label wrong = code.CreateLabel();
            code.MakeNoise();
            code.Print("<");
            ForEachPage(code, write: true, wrong);
            ForEachPage(code, write: false, wrong);
            code.Exit(0);
            code.Label(ref wrong);
            code.mov(eax, ebx);
            code.ExitWithEax();
        });
        _source.Publish(_source.Current with { BudgetBytes = 0 });
        var guest = new TestGuest(backend, kernel, static configuration => configuration with { MemoryMB = MemoryMB }, new MachineFactory(scheduler: null, memory: _manager));
        _source.Publish(_source.Current with { BudgetBytes = _manager.Statistics().OverheadBytes + (10 * Megabyte) });
        guest.Start();
        return guest;

        // Noise, which is not compressed, and other noise on every page.
        static void ForEachPage(Assembler code, bool write, Label wrong)
        {
            Label next = code.CreateLabel();
            code.mov(ebx, First);
            code.Label(ref next);
            code.StoreOrCompareNoise(ebx, ebx, write, wrong);
            code.add(ebx, 4096);
            code.cmp(ebx, End);
            code.jb(next);
        }
    }
}
