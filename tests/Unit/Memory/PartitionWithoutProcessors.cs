using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>A partition that runs nothing: what is asked of it about memory is for those that are tested with it.</summary>
internal abstract class PartitionWithoutProcessors : IPartition
{
    public abstract BackendKind Backend { get; }

    public abstract PartitionCapabilities Capabilities { get; }

    public IReadOnlyList<IVirtualProcessor> Processors => [];

    public Action<byte>? EndOfInterrupt { get; set; }

    public void MapMemory(ulong guestAddress, nint hostAddress, ulong bytes, MemoryAccess access)
    {
    }

    public void UnmapMemory(ulong guestAddress)
    {
    }

    public void SetDirtyTracking(ulong guestAddress, bool enabled)
    {
    }

    public void HarvestDirtyPages(ulong guestAddress, Span<ulong> bitmap) => bitmap.Clear();

    public void NotifyHostWrite(ulong guestAddress, ulong bytes)
    {
    }

    public void SetInterruptLine(int gsi, bool asserted)
    {
    }

    public void SignalMsi(ulong address, uint data)
    {
    }

    public void AttachExternalInterruptSource(IExternalInterruptSource source)
    {
    }

    public void SetExternalInterrupt(bool asserted)
    {
    }

    public void Dispose()
    {
    }
}
