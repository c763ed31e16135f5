using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Tests.Guests.Support;

namespace Hypervisor.Tests.Guests.Machines;

/// <summary>A stock kernel that is asked which of its memory is free, as it neither reports that by itself nor gives anything by its balloon.</summary>
public sealed class FreePageHintTests : IDisposable
{
    private const long Megabyte = 1 << 20;
    private const int GuestMB = 256, FreedMB = 96, KeptMB = 16, RoomMB = 40;

    private readonly string _folder = Directory.CreateTempSubdirectory("hints").FullName;
    private readonly MemoryConfigurationSource _source = new();
    private readonly MemoryManager _manager;

    public FreePageHintTests()
    {
        _source.Publish(new MemoryConfiguration { BudgetBytes = 4096 * Megabyte, ProcessorMHz = 4000 });
        _manager = new MemoryManager(_source) { SwapPathOf = id => Path.Combine(_folder, $"{id}.vswp"), HintInterval = MemoryManager.Second / 2 };
    }

    public void Dispose()
    {
        _manager.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    // A kernel that clears what it allocates clears what it names too.
    [LinuxTheory]
    [InlineData("init_on_alloc=0")]
    [InlineData("init_on_alloc=1")]
    public async Task Free_memory_comes_back_when_the_host_is_short_of_it_and_what_is_in_use_stays(string parameter)
    {
        using LinuxGuest guest = LinuxGuest.Start(
            configuration => configuration with
            {
                MemoryMB = GuestMB,
                KernelCommandLine = $"{configuration.KernelCommandLine} {parameter}",
                AdvancedSettings = new Dictionary<string, string> { ["balloon.reporting"] = "false", ["sched.mem.maxmemctl"] = "0" },
            },
            new MachineFactory(scheduler: null, memory: _manager));
        await guest.Booted();
        await guest.Type($"mount -t tmpfs -o size=95% none /tmp; cd /tmp; head -c {KeptMB << 20} /dev/urandom > kept; sha256sum kept > sum");
        await guest.Ask($"head -c {FreedMB << 20} /dev/urandom > freed; rm freed; sha256sum -c sum", "kept: OK");
        Assert.Equal(0, Pages().Released);

        // Short of memory, but for nothing that the machine uses.
        HostMemoryStatistics statistics = _manager.Statistics();
        _source.Publish(_source.Current with { BudgetBytes = statistics.UsedBytes });
        using var patience = new CancellationTokenSource(LinuxGuest.Patience);
        while (Pages().Released < FreedMB * Megabyte / 2 / 4096)
        {
            Assert.False(patience.IsCancellationRequested, $"{Pages()}\n{guest.Output}");
            await Task.Delay(20);
        }

        // It is asked again while it fills and frees its memory, more than it has room for.
        _source.Publish(_source.Current with { BudgetBytes = _manager.Statistics().UsedBytes + (RoomMB * Megabyte) });
        for (int round = 0; round < 2; round++)
        {
            await guest.Ask($"cp kept again; head -c {FreedMB << 19} /dev/urandom > freed; sha256sum freed > freed.sum; sleep 1; sha256sum -c -s freed.sum && rm freed && cmp kept again && sha256sum -c sum", "kept: OK");
        }

        Assert.DoesNotContain("Call Trace", guest.Output, StringComparison.Ordinal);
    }

    private GuestPageStatistics Pages() => Assert.Single(_manager.Statistics().Machines).Pages!;
}
