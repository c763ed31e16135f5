using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Guests.Support;
using Hypervisor.Tests.Unit.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Machines;

/// <summary>Machines on KVM whose equal pages the host's kernel merges (KSM).</summary>
public sealed class MergedMemoryTests : IDisposable
{
    private const long Megabyte = 1 << 20;
    private const int MemoryMB = 32, Pages = 4096, Guests = 2;

    private readonly string _folder = Directory.CreateTempSubdirectory("memory").FullName;
    private readonly MemoryConfigurationSource _source = new();
    private readonly MemoryManager _manager;

    public MergedMemoryTests()
    {
        _source.Publish(new MemoryConfiguration { BudgetBytes = 1024 * Megabyte, ProcessorMHz = 4000, Settings = new MemoryPolicySettings { SamplePeriodSeconds = 5, ShareSalting = 0 } });
        _manager = new MemoryManager(_source) { SwapPathOf = id => Path.Combine(_folder, $"{id}.vswp") };
    }

    public void Dispose()
    {
        _manager.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [KvmKsmFact]
    public async Task Equal_pages_of_machines_on_kvm_take_memory_once_and_keep_what_is_stored_while_they_are_merged_and_taken()
    {
        using var merging = new KernelMerging();
        TestGuest[] guests = [.. Enumerable.Range(0, Guests).Select(_ => new TestGuest(
            BackendKind.Kvm, Kernel(), static configuration => configuration with { MemoryMB = MemoryMB }, new MachineFactory(scheduler: null, memory: _manager)))];
        try
        {
            Array.ForEach(guests, static guest => guest.Start());
            await Until(guests, () => Array.TrueForAll(guests, static guest => guest.Output.Contains('f', StringComparison.Ordinal)));
            await Until(guests, () => _manager.Statistics().Machines.All(static machine => machine.Pages!.MergedByHost > Pages * 9 / 10));
            HostMemoryStatistics merged = _manager.Statistics();
            Assert.True(merged.UsedBytes - merged.OverheadBytes < 8 * Megabyte, $"{merged.UsedBytes}");
            Assert.True(merged.SharedSavedBytes > 24 * Megabyte, $"{merged.SharedSavedBytes}");

            // What they store from now on does not fit: pages are taken while the kernel goes on merging.
            _source.Publish(_source.Current with { BudgetBytes = merged.OverheadBytes + (12 * Megabyte) });
            foreach (TestGuest guest in guests)
            {
                await guest.Machine.Console.SendAsync("g"u8.ToArray());
            }

            await Until(guests, () => Array.TrueForAll(guests, static guest => guest.Machine.Stopped.IsCompleted));
            foreach (TestGuest guest in guests)
            {
                MachineStop stop = await guest.Machine.Stopped;
                Assert.Equal((MachineStopReason.DebugExit, 0), (stop.Reason, stop.ExitCode));
            }
        }
        finally
        {
            Array.ForEach(guests, static guest => guest.Dispose());
        }

        Assert.Equal(0, _manager.CountedPages);
    }

    [KvmKsmFact]
    public async Task A_machine_is_not_merged_when_the_host_or_its_salt_says_so()
    {
        using var merging = new KernelMerging();
        using var guest = new TestGuest(BackendKind.Kvm, Kernel(), static configuration => configuration with { MemoryMB = MemoryMB }, new MachineFactory(scheduler: null, memory: _manager));
        guest.Start();
        await Until([guest], () => MergedPages() > Pages / 2);
        _source.Publish(_source.Current with { Settings = _source.Current.Settings with { ShareByKernel = false } });
        await Until([guest], () => MergedPages() < Pages / 64);
        _source.Publish(_source.Current with { Settings = _source.Current.Settings with { ShareByKernel = true } });
        await Until([guest], () => MergedPages() > Pages / 2);
        MachineMemoryStatistics machine = _manager.Statistics().Machines.Single();
        _source.Publish(_source.Current with
        {
            Machines = new Dictionary<Guid, MachineMemoryPlan> { [machine.Id] = new() { MemoryBytes = machine.MemoryBytes, SharingDomain = "its own" } },
        });
        await Until([guest], () => MergedPages() < Pages / 64);

        long MergedPages() => _manager.Statistics().Machines.Single().Pages!.MergedByHost;
    }

    private static async Task Until(TestGuest[] guests, Func<bool> condition)
    {
        using var patience = new CancellationTokenSource(LinuxGuest.Patience);
        while (!condition())
        {
            Assert.False(patience.IsCancellationRequested, string.Join(' ', guests.SelectMany(static guest => guest.Events.Select(static happened => happened.Message).Prepend(guest.Output))));
            await Task.Delay(20);
        }
    }

    // Equal pages; when it is told to, it makes every second one noise and looks at all of them.
    private static byte[] Kernel() => GuestKernel.Assemble(static code =>
    {
        const uint First = 0x80_0000, Odd = 0x1000, Fill = 0x5A5A_1234;
        const ushort LineStatus = GuestKernel.SerialPort + 5;
        Label wait = code.CreateLabel(), wrong = code.CreateLabel();
        code.MakeNoise();
        code.mov(edi, First);
        code.mov(ecx, Pages * 1024);
        code.mov(eax, Fill);
        code.rep.stosd();
        code.Print("f");
        code.Label(ref wait);
        code.pause();
        code.mov(dx, LineStatus);
        code.@in(al, dx);
        code.test(al, 1);
        code.je(wait);
        ForEachPage(write: true);
        ForEachPage(write: false);
        code.Exit(0);
        code.Label(ref wrong);
        code.mov(eax, ebx);
        code.ExitWithEax();

        void ForEachPage(bool write)
        {
            Label next = code.CreateLabel(), even = code.CreateLabel(), done = code.CreateLabel();
            code.mov(ebx, First);
            code.Label(ref next);
            code.test(ebx, Odd);
            code.je(even);
            code.StoreOrCompareNoise(ebx, ebx, write, wrong);
            code.jmp(done);
            code.Label(ref even);
            code.cmp(__dword_ptr[ebx + 2048], Fill);
            code.jne(wrong);
            code.Label(ref done);
            code.add(ebx, 4096);
            code.cmp(ebx, First + (Pages * 4096));
            code.jb(next);
        }
    });
}
