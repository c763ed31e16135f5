using System.Diagnostics;
using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Benchmarks.Exits;

/// <summary>A partition whose bus counts accesses, times chunks of them, and kicks its processor out after enough.</summary>
internal sealed class EngineLoop : IPartitionBus, IMachineClock
{
    private const ulong CodeAddress = 0x1000;

    private readonly int _wanted, _chunk;
    private int _count;
    private long _start = Stopwatch.GetTimestamp(), _best = long.MaxValue, _allocatedBefore, _allocated;
    private IVirtualProcessor? _processor;

    private EngineLoop(int exits, int chunk)
    {
        _wanted = exits;
        _chunk = chunk;
    }

    public long Now => 0;

    public DateTimeOffset UtcNow => DateTimeOffset.UnixEpoch;

    /// <summary>The time of the fastest chunk, and what the run allocated after its first.</summary>
    internal static (TimeSpan Time, long AllocatedBytes) Measure(IPartitionFactory factory, byte[] code, int exits, int chunk)
    {
        var loop = new EngineLoop(exits, chunk);
        using var memory = new GuestMemory();
        memory.AddBlock(0, 0x10000);
        memory.Load(CodeAddress, code);
        using var partition = factory.Create(new PartitionOptions { ProcessorCount = 1, Bus = loop, Clock = loop });
        foreach (var (guest, host, bytes, _) in memory.Blocks)
        {
            partition.MapMemory(guest, host, bytes, MemoryAccess.All);
        }

        var processor = loop._processor = partition.Processors[0];
        var system = processor.GetSystemRegisters();
        system.Cs.Base = 0;
        system.Cs.Selector = 0;
        processor.SetSystemRegisters(system);
        processor.SetGeneralRegisters(new GeneralRegisters { Rip = CodeAddress, Rflags = 2 });
        var exit = processor.Run();
        return exit.Reason == VpExitReason.Kicked
            ? (Stopwatch.GetElapsedTime(0, loop._best), loop._allocated)
            : throw new InvalidOperationException($"The guest stopped: {exit}.");
    }

    public uint ReadPort(ushort port, int size)
    {
        Count();
        return 0x5A;
    }

    public void WritePort(ushort port, int size, uint value) => Count();

    public ulong ReadMmio(ulong address, int size) => ulong.MaxValue;

    public void WriteMmio(ulong address, int size, ulong value)
    {
        // Nothing is there.
    }

    public IMachineTimer CreateTimer(Action callback) => throw new NotSupportedException();

    private void Count()
    {
        int count = ++_count;
        if (count % _chunk != 0)
        {
            return;
        }

        long now = Stopwatch.GetTimestamp();
        _best = Math.Min(_best, now - _start);
        _start = now;
        if (count == _chunk)
        {
            _allocatedBefore = GC.GetAllocatedBytesForCurrentThread();
        }
        else if (count == _wanted)
        {
            _allocated = GC.GetAllocatedBytesForCurrentThread() - _allocatedBefore;
            _processor!.Kick();
        }
    }
}
