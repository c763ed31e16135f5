using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Files;
using Hypervisor.Engine.Storage;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Benchmarks.IoControl;

/// <summary>
/// A disk that always has a number of random reads under way, by the way that a guest's requests go: a few threads submit and execute,
/// and what is held back occupies none of them.
/// </summary>
internal sealed unsafe class LoadGenerator : IDisposable
{
    private const int Threads = 4;

    private readonly DiskIo _io;
    private readonly IDiskImage _image;
    private readonly int _bytes;
    private readonly Queue<Request> _ready = new();
    private readonly Thread[] _threads;
    private bool _stopping;

    public LoadGenerator(DiskIo io, IDiskImage image, int depth, int bytes)
    {
        (_io, _image, _bytes) = (io, image, bytes);
        for (int i = 0; i < depth; i++)
        {
            _ready.Enqueue(new Request(this));
        }

        _threads = [.. Enumerable.Range(0, Threads).Select(i => new Thread(() => Run(i)) { IsBackground = true, Name = $"load {io.Identity.Machine} {i}" })];
        Array.ForEach(_threads, static thread => thread.Start());
    }

    public DiskIo Io => _io;

    public void Dispose()
    {
        lock (_ready)
        {
            _stopping = true;
            Monitor.PulseAll(_ready);
        }

        // What is held back is let go.
        _io.Configure(DiskIoSettings.Default);
        Array.ForEach(_threads, static thread => thread.Join());
        SpinWait.SpinUntil(() => _io.Statistics is { Active: 0, Queued: 0 });
        _io.Dispose();
        _image.Dispose();
    }

    private void Run(int seed)
    {
        var random = new Random(seed);
        void* buffer = NativeMemory.AlignedAlloc((nuint)_bytes, 4096);
        while (Take() is { } request)
        {
            if (!request.IsGranted && !_io.Submit(request, IoKind.Read, _bytes))
            {
                continue;
            }

            DiskIo.Begin(request);
            var vector = new IoVector { Base = (nint)buffer, Length = (nuint)_bytes };
            long offset = random.NextInt64((_image.Length / _bytes) - 1) * _bytes;
            bool succeeded = _image.Read(offset, new Span<IoVector>(ref vector)) == DiskStatus.Ok;
            request.IsGranted = false;
            _io.End(request, succeeded);
            Put(request);
        }

        NativeMemory.AlignedFree(buffer);
    }

    private Request? Take()
    {
        lock (_ready)
        {
            while (true)
            {
                if (_ready.TryDequeue(out Request? request))
                {
                    if (!_stopping || request.IsGranted)
                    {
                        return request;
                    }

                    continue;
                }

                if (_stopping && _io.Statistics is { Active: 0, Queued: 0 })
                {
                    Monitor.PulseAll(_ready);
                    return null;
                }

                Monitor.Wait(_ready, 10);
            }
        }
    }

    private void Put(Request request)
    {
        lock (_ready)
        {
            _ready.Enqueue(request);
            Monitor.Pulse(_ready);
        }
    }

    private sealed class Request(LoadGenerator owner) : IoRequest
    {
        public bool IsGranted { get; set; }

        protected override void Granted()
        {
            IsGranted = true;
            owner.Put(this);
        }
    }
}
