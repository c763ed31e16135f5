using Hypervisor.Engine.Native.Files;
using Hypervisor.Engine.Storage;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A disk in memory, with faults and delays on demand.</summary>
internal sealed unsafe class MemoryDiskImage(int bytes, bool readOnly = false) : IDiskImage
{
    private readonly Lock _lock = new();

    public byte[] Content { get; } = new byte[bytes];

    public string Name => "/test/disk.img";

    public long Length => Content.Length;

    public bool IsReadOnly => readOnly;

    /// <summary>Result of every operation while it is not Ok.</summary>
    public DiskStatus Fault { get; set; }

    /// <summary>Thrown by every operation while it is set.</summary>
    public Exception? Defect { get; set; }

    /// <summary>Operations wait here.</summary>
    public ManualResetEventSlim Gate { get; } = new(initialState: true);

    public int Entered => Volatile.Read(ref _entered);

    /// <summary>Bytes that the thread of the last operation had allocated until then.</summary>
    public long AllocatedByThread { get; private set; }

    public int Flushes { get; private set; }

    public bool IsDisposed { get; private set; }

    private int _entered;

    public DiskStatus Read(long offset, Span<IoVector> vectors)
    {
        var status = Enter();
        foreach (var vector in vectors)
        {
            lock (_lock)
            {
                Content.AsSpan((int)offset, (int)vector.Length).CopyTo(new Span<byte>((void*)vector.Base, (int)vector.Length));
            }

            offset += (long)vector.Length;
        }

        return status;
    }

    public DiskStatus Write(long offset, Span<IoVector> vectors)
    {
        var status = Enter();
        foreach (var vector in vectors)
        {
            lock (_lock)
            {
                new Span<byte>((void*)vector.Base, (int)vector.Length).CopyTo(Content.AsSpan((int)offset, (int)vector.Length));
            }

            offset += (long)vector.Length;
        }

        return status;
    }

    public DiskStatus Flush()
    {
        Flushes++;
        return Enter();
    }

    public DiskStatus Discard(long offset, long length) => WriteZeroes(offset, length, mayUnmap: true);

    public DiskStatus WriteZeroes(long offset, long length, bool mayUnmap)
    {
        var status = Enter();
        lock (_lock)
        {
            Content.AsSpan((int)offset, (int)length).Clear();
        }

        return status;
    }

    public void Dispose() => IsDisposed = true;

    private DiskStatus Enter()
    {
        AllocatedByThread = GC.GetAllocatedBytesForCurrentThread();
        Interlocked.Increment(ref _entered);
        Gate.Wait();
        return Defect is null ? Fault : throw Defect;
    }
}
