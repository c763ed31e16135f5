using System.Diagnostics.CodeAnalysis;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Native.Kvm;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Partitions.Kvm;

public sealed partial class KvmPartition
{
    private readonly Lock _memory = new();
    private readonly Dictionary<ulong, KvmMemoryRegion> _regions = [];

    private int SlotLimit { get; }

    /// <inheritdoc/>
    public void MapMemory(ulong guestAddress, nint hostAddress, ulong bytes, MemoryAccess access)
    {
        if (bytes == 0 || ((guestAddress | bytes | (ulong)hostAddress) % GuestMemory.PageSize) != 0 || guestAddress + bytes < guestAddress)
        {
            throw new ArgumentException($"A range of {bytes} bytes at {guestAddress:x}h is not made of whole pages.");
        }

        lock (_memory)
        {
            if (_regions.Values.Any(r => r.GuestAddress < guestAddress + bytes && guestAddress < r.GuestAddress + r.Bytes))
            {
                throw new ArgumentException($"The range at {guestAddress:x}h overlaps another.");
            }

            var region = new KvmMemoryRegion
            {
                Slot = FindFreeSlot(),
                Flags = access.HasFlag(MemoryAccess.Write) ? 0 : KvmMemoryRegion.ReadOnly,
                GuestAddress = guestAddress,
                Bytes = bytes,
                HostAddress = hostAddress,
            };
            KvmCalls.Check(_vm.Control(KvmRequest.SetUserMemoryRegion, ref region), $"map {bytes} bytes of memory at {guestAddress:x}h");
            _regions.Add(guestAddress, region);
        }
    }

    /// <inheritdoc/>
    public bool TryAttachPages(GuestPages pages, [NotNullWhen(true)] out IPageHomes? homes, out string reason)
    {
        homes = UserFault.TryCreate(out reason) is { } faults ? new KvmPageHomes(pages, faults) : null;
        return homes is not null;
    }

    /// <inheritdoc/>
    public void UnmapMemory(ulong guestAddress)
    {
        lock (_memory)
        {
            var region = Find(guestAddress);
            region.Bytes = 0;
            region.Flags = 0;
            KvmCalls.Check(_vm.Control(KvmRequest.SetUserMemoryRegion, ref region), $"unmap the memory at {guestAddress:x}h");
            _regions.Remove(guestAddress);
        }
    }

    /// <inheritdoc/>
    public void SetDirtyTracking(ulong guestAddress, bool enabled)
    {
        lock (_memory)
        {
            var region = Find(guestAddress);
            region.Flags = enabled ? region.Flags | KvmMemoryRegion.LogDirtyPages : region.Flags & ~KvmMemoryRegion.LogDirtyPages;
            KvmCalls.Check(_vm.Control(KvmRequest.SetUserMemoryRegion, ref region), $"record writes to the memory at {guestAddress:x}h");
            _regions[guestAddress] = region;
        }
    }

    /// <inheritdoc/>
    public unsafe void HarvestDirtyPages(ulong guestAddress, Span<ulong> bitmap)
    {
        lock (_memory)
        {
            var region = Find(guestAddress);
            ulong words = (region.Bytes / GuestMemory.PageSize + 63) / 64;
            if ((ulong)bitmap.Length < words)
            {
                throw new ArgumentException($"The bitmap of the memory at {guestAddress:x}h takes {words} words.", nameof(bitmap));
            }

            bitmap.Clear();
            if ((region.Flags & KvmMemoryRegion.LogDirtyPages) == 0)
            {
                return;
            }

            // SAFETY: the kernel writes one bit a page of the slot, rounded up to 64, which was just checked to fit.
            fixed (ulong* pointer = bitmap)
            {
                var log = new KvmDirtyLog { Slot = region.Slot, Bitmap = (nint)pointer };
                KvmCalls.Check(_vm.Control(KvmRequest.GetDirtyLog, ref log), $"fetch the written pages of the memory at {guestAddress:x}h");
            }
        }
    }

    /// <inheritdoc/>
    public void NotifyHostWrite(ulong guestAddress, ulong bytes)
    {
        // The host's processor keeps its own instruction caches coherent.
    }

    private KvmMemoryRegion Find(ulong guestAddress) => _regions.TryGetValue(guestAddress, out var region)
        ? region
        : throw new ArgumentException($"No range of memory begins at {guestAddress:x}h.", nameof(guestAddress));

    private uint FindFreeSlot()
    {
        for (uint slot = 0; slot < SlotLimit; slot++)
        {
            if (_regions.Values.All(region => region.Slot != slot))
            {
                return slot;
            }
        }

        throw new PartitionException($"All {SlotLimit} memory slots of the partition are taken.");
    }
}
