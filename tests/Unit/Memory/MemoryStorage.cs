using System.Collections.Concurrent;
using Hypervisor.Engine.Memory.Stores;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>A swap disk in memory, which can be full and can fail.</summary>
internal sealed unsafe class MemoryStorage : SwapStorage
{
    private const long NoSpace = 28, InputOutputError = 5;

    private readonly ConcurrentDictionary<long, byte[]> _pages = new();

    public bool IsFull { get; set; }

    public bool FailsReading { get; set; }

    /// <summary>How long a write takes at least.</summary>
    public TimeSpan WriteTime { get; set; }

    public int Pages => _pages.Count;

    public override long Read(byte* buffer, int length, long offset)
    {
        if (FailsReading)
        {
            return -InputOutputError;
        }

        for (int at = 0; at < length; at += 4096)
        {
            _pages[offset + at].CopyTo(new Span<byte>(buffer + at, 4096));
        }

        return length;
    }

    public override long Write(byte* buffer, int length, long offset)
    {
        if (WriteTime > TimeSpan.Zero)
        {
            // What a slow disk does.
            Thread.Sleep(WriteTime);
        }

        if (IsFull)
        {
            return -NoSpace;
        }

        for (int at = 0; at < length; at += 4096)
        {
            _pages[offset + at] = new ReadOnlySpan<byte>(buffer + at, 4096).ToArray();
        }

        return length;
    }

    public override bool Punch(long offset, long length) => false;

    public override bool IsNoRoom(long error) => error == -NoSpace;

    public override string Describe(long error) => error == -NoSpace ? "No space left on device" : "Input/output error";

    public override void Dispose()
    {
    }
}
