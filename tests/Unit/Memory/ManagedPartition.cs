using System.Diagnostics.CodeAnalysis;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>A partition without processors whose pages can be taken, and whose backend can fail.</summary>
internal sealed unsafe class ManagedPartition : PartitionWithoutProcessors, IPagedPartition, IPageHomes
{
    /// <summary>What it answers to orders that only a kernel can refuse; null while it works.</summary>
    public Exception? Refusal { get; set; }

    public long HostBytes { get; set; }

    /// <summary>How often it was asked to give memory of its own back.</summary>
    public int Trims { get; private set; }

    public override BackendKind Backend => BackendKind.Software;

    public override PartitionCapabilities Capabilities { get; }

    public bool AreAsked => true;

    public bool TryAttachPages(GuestPages pages, [NotNullWhen(true)] out IPageHomes? homes, out string reason)
    {
        (homes, reason) = (this, "");
        return true;
    }

    public void TrimHost() => Trims++;

    public void Watch(ReadOnlySpan<int> pages)
    {
        if (Refusal is { } refusal)
        {
            throw refusal;
        }
    }

    public void Engage() => throw new InvalidOperationException();

    public void FindPresent(Action<int> found) => throw new InvalidOperationException();

    public void Unwatch(int page)
    {
    }

    public void Place(int page, byte* content)
    {
    }
}
