using Hypervisor.Engine.Memory.Stores;
using Hypervisor.Engine.Native.Files;

namespace Hypervisor.Tests.Unit.Memory.Stores;

/// <summary>A disk that fills up, fails, takes requests in pieces, and forgets, as it is told.</summary>
internal sealed unsafe class MemorySwapStorage : SwapStorage
{
    private readonly SortedDictionary<long, byte[]> _blocks = [];
    private readonly Lock _lock = new();

    /// <summary>Blocks of 4096 bytes that it has room for.</summary>
    public int RoomBlocks { get; set; } = int.MaxValue;

    /// <summary>Error number, negated, of every write while it is not 0.</summary>
    public int WriteError { get; set; }

    /// <summary>Error number, negated, of every read while it is not 0.</summary>
    public int ReadError { get; set; }

    /// <summary>Most bytes that one call moves.</summary>
    public int LargestTransfer { get; set; } = int.MaxValue;

    /// <summary>Every so many calls one is interrupted by a signal; 0 for none.</summary>
    public int InterruptEvery { get; set; }

    public int Calls { get; private set; }

    public int Blocks
    {
        get
        {
            lock (_lock)
            {
                return _blocks.Count;
            }
        }
    }

    public byte[] this[long block] => _blocks[block];

    public void Exchange(long block, byte[] content) => _blocks[block] = (byte[])content.Clone();

    public override long Read(byte* buffer, int length, long offset)
    {
        lock (_lock)
        {
            Calls++;
            if (ReadError != 0)
            {
                return ReadError;
            }

            if (InterruptEvery != 0 && Calls % InterruptEvery == 0)
            {
                return -PositionalIo.Interrupted;
            }

            length = Math.Min(length, LargestTransfer);
            for (int i = 0; i < length; i++)
            {
                buffer[i] = _blocks.TryGetValue((offset + i) / 4096, out var block) ? block[(offset + i) % 4096] : (byte)0;
            }

            return length;
        }
    }

    public override long Write(byte* buffer, int length, long offset)
    {
        lock (_lock)
        {
            Calls++;
            if (WriteError != 0)
            {
                return WriteError;
            }

            if (InterruptEvery != 0 && Calls % InterruptEvery == 0)
            {
                return -PositionalIo.Interrupted;
            }

            length = Math.Min(length, LargestTransfer);
            for (int i = 0; i < length; i++)
            {
                long at = (offset + i) / 4096;
                if (!_blocks.TryGetValue(at, out var block))
                {
                    if (_blocks.Count >= RoomBlocks)
                    {
                        return i > 0 ? i : -PositionalIo.NoSpace;
                    }

                    _blocks[at] = block = new byte[4096];
                }

                block[(offset + i) % 4096] = buffer[i];
            }

            return length;
        }
    }

    public override bool Punch(long offset, long length)
    {
        lock (_lock)
        {
            for (long block = offset / 4096; block < (offset + length) / 4096; block++)
            {
                _blocks.Remove(block);
            }

            return true;
        }
    }

    public override void Dispose() => _blocks.Clear();
}
