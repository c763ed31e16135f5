using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A partition without processors that writes down what the platform asks of it.</summary>
internal sealed class RecordingPartition(bool inKernelIrqChip) : IPartition
{
    public List<(ulong Address, uint Data)> Messages { get; } = [];

    public List<(int Gsi, bool Asserted)> Lines { get; } = [];

    public bool ExternalInterrupt { get; private set; }

    public IExternalInterruptSource? Source { get; private set; }

    public BackendKind Backend => BackendKind.Software;

    public PartitionCapabilities Capabilities { get; } = new() { InKernelIrqChip = inKernelIrqChip };

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

    public void SetInterruptLine(int gsi, bool asserted) => Lines.Add((gsi, asserted));

    public void SignalMsi(ulong address, uint data) => Messages.Add((address, data));

    public void AttachExternalInterruptSource(IExternalInterruptSource source) => Source = source;

    public void SetExternalInterrupt(bool asserted) => ExternalInterrupt = asserted;

    public void Dispose()
    {
    }
}
