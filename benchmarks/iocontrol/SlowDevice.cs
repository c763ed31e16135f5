using Hypervisor.Engine.Native.Files;
using Hypervisor.Engine.Native.Timing;
using Hypervisor.Engine.Storage;

namespace Hypervisor.Benchmarks.IoControl;

/// <summary>Hardware that serves a few requests at once and takes its time for each; its disks share it.</summary>
internal sealed class SlowDevice(int servers, TimeSpan service) : IDisposable
{
    private readonly SemaphoreSlim _servers = new(servers);

    public IDiskImage MakeDisk(string name) => new Disk(this, name);

    public void Dispose() => _servers.Dispose();

    private DiskStatus Serve()
    {
        _servers.Wait();
        using var clock = new PreciseEvent();
        clock.Wait((long)service.TotalNanoseconds);
        _servers.Release();
        return DiskStatus.Ok;
    }

    private sealed class Disk(SlowDevice device, string name) : IDiskImage
    {
        public string Name => name;

        public long Length => 1L << 30;

        public bool IsReadOnly => false;

        public DiskStatus Read(long offset, Span<IoVector> vectors) => device.Serve();

        public DiskStatus Write(long offset, Span<IoVector> vectors) => device.Serve();

        public DiskStatus Flush() => DiskStatus.Ok;

        public DiskStatus Discard(long offset, long length) => DiskStatus.Ok;

        public DiskStatus WriteZeroes(long offset, long length, bool mayUnmap) => device.Serve();

        public void Dispose()
        {
        }
    }
}
