using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native.Memory;
using Hypervisor.Engine.Partitions.Kvm;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>
/// Guest memory as KVM uses it, by the host's page tables: what threads of the test load and store is what processors would. They do it
/// outside of managed code, as processors do: a thread that waits for a page inside of it would keep a garbage collection waiting, and that
/// who answers.
/// </summary>
internal sealed unsafe partial class MappedMachine : IPagedPartition, IDisposable
{
    private readonly SharedFrames _frames = new();
    private bool _disposed;

    public MappedMachine(int pages, SwapStorage? swap = null, long cacheBytes = 0)
    {
        Memory.AddBlock(0, (ulong)pages * GuestMemory.PageSize);
        Pages = new GuestPages(Memory, this, 0, Meter, _frames, new CompressionCache(cacheBytes), swap is null ? null : new SwapFile(swap, pages));
    }

    public MemoryMeter Meter { get; } = new();

    public GuestMemory Memory { get; } = new();

    public GuestPages Pages { get; }

    public ulong this[int page, int offset = 0]
    {
        get
        {
            ulong value;
            Copy(&value, Pages.HomeOf(page) + offset, sizeof(ulong));
            return value;
        }

        set => Copy(Pages.HomeOf(page) + offset, &value, sizeof(ulong));
    }

    public bool TryAttachPages(GuestPages pages, [NotNullWhen(true)] out IPageHomes? homes, out string reason)
    {
        homes = UserFault.TryCreate(out reason) is { } faults ? new KvmPageHomes(pages, faults) : null;
        return homes is not null;
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        Pages.Dispose();
        Memory.Dispose();
        _frames.Dispose();
    }

    [LibraryImport("libc", EntryPoint = "memcpy")]
    private static partial void* Copy(void* to, void* from, nuint bytes);
}
