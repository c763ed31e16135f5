using System.Diagnostics.CodeAnalysis;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>A partition without processors whose pages can be taken, and whose backend can fail.</summary>
internal sealed unsafe class ManagedPartition : IPartition, IPagedPartition, IPageHomes
{
    /// <summary>What it answers to orders that only a kernel can refuse; null while it works.</summary>
    public Exception? Refusal { get; set; }

    public BackendKind Backend => BackendKind.Software;

    public PartitionCapabilities Capabilities { get; }

    public IReadOnlyList<IVirtualProcessor> Processors => [];

    public Action<byte>? EndOfInterrupt { get; set; }

    public bool AreAsked => true;

    public bool TryAttachPages(GuestPages pages, [NotNullWhen(true)] out IPageHomes? homes, out string reason)
    {
        (homes, reason) = (this, "");
        return true;
    }

    public void Watch(ReadOnlySpan<int> pages)
    {
        if (Refusal is { } refusal)
        {
            throw refusal;
        }
    }

    public void Engage(Action<int> present)
    {
    }

    public long CountPresent() => 0;

    public void Unwatch(int page)
    {
    }

    public void Place(int page, byte* content)
    {
    }

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
