using System.Diagnostics;
using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Benchmarks.Exits;

/// <summary>A partition whose bus counts accesses and kicks its processor out after enough of them.</summary>
internal sealed class EngineLoop : IPartitionBus, IMachineClock
{
    private const ulong CodeAddress = 0x1000;

    private readonly int _warmUp;
    private readonly int _wanted;
    private int _count;
    private long _start, _end, _allocatedBefore, _allocated;
    private IVirtualProcessor? _processor;

    private EngineLoop(int exits)
    {
        _warmUp = exits / 10;
        _wanted = exits + _warmUp;
    }

    public long Now => 0;

    public DateTimeOffset UtcNow => DateTimeOffset.UnixEpoch;

    internal static (TimeSpan Time, long AllocatedBytes) Measure(IPartitionFactory factory, byte[] code, int exits)
    {
        var loop = new EngineLoop(exits);
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
            ? (Stopwatch.GetElapsedTime(loop._start, loop._end), loop._allocated)
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
        if (count == _warmUp)
        {
            _allocatedBefore = GC.GetAllocatedBytesForCurrentThread();
            _start = Stopwatch.GetTimestamp();
        }
        else if (count == _wanted)
        {
            _end = Stopwatch.GetTimestamp();
            _allocated = GC.GetAllocatedBytesForCurrentThread() - _allocatedBefore;
            _processor!.Kick();
        }
    }
}
