using System.Buffers.Binary;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Native.Files;
using Hypervisor.Engine.Storage;
using Hypervisor.Engine.Storage.IoControl;
using static Hypervisor.Engine.Devices.Virtio.VirtioBlockLayout;

namespace Hypervisor.Engine.Devices.Virtio;

// What requests ask for, and its execution (virtio 1.2, 5.2.6).
public sealed partial class VirtioBlock
{
    // Bytes that a call of the host moves at most: whoever stops the device waits for one of them a thread, whatever the guest asked for.
    private const uint MaxTransfer = 4 << 20;

    // Reads what a request asks for. The guest may change the header at any moment: it is read once.
    private void Describe(BlockRequest request)
    {
        DescriptorChain chain = request.Chain;
        Span<byte> header = stackalloc byte[HeaderSize];
        chain.Read(0, header);
        request.Type = BinaryPrimitives.ReadUInt32LittleEndian(header);
        request.Sector = BinaryPrimitives.ReadUInt64LittleEndian(header[8..]);
        (IoKind command, long size, bool isIo) = request.Type switch
        {
            TypeIn => (IoKind.Read, chain.WritableBytes - 1, true),
            TypeOut => (IoKind.Write, chain.ReadableBytes - HeaderSize, !_image.IsReadOnly),
            TypeFlush => (IoKind.Flush, 0L, true),
            TypeDiscard => (IoKind.Discard, 0L, !_image.IsReadOnly),
            TypeWriteZeroes => (IoKind.WriteZeroes, BytesToClear(chain), !_image.IsReadOnly),
            _ => (default, 0L, false),
        };

        // What is going to be refused asks nothing of the datastore.
        bool isValid = command switch
        {
            IoKind.Read or IoKind.Write => TryGetOffset(request.Sector, (ulong)size, out _),
            IoKind.WriteZeroes => size <= (long)MaxWriteZeroesSectors * SectorSize,
            _ => true,
        };
        (request.Command, request.Size, request.IsIo) = (command, size, isIo && isValid);
    }

    // Returns the bytes written to the chain (data and the status byte), and whether the host did what was asked.
    private (uint Written, bool Succeeded) Execute(BlockRequest request, IoVector[] vectors)
    {
        DescriptorChain chain = request.Chain;
        uint written = 0;
        byte status;
        switch (request.Type)
        {
            case TypeIn:
                status = ReadSectors(chain, vectors, request.Sector, out written);
                break;
            case TypeOut:
                status = WriteSectors(chain, vectors, request.Sector);
                break;
            case TypeFlush:
                status = Answer(_image.Flush(), "flush");
                break;
            case TypeGetId:
                written = Math.Min((uint)IdSize, chain.WritableBytes - 1);
                chain.Write(Memory, 0, _serial.AsSpan(0, (int)written));
                status = StatusOk;
                break;
            case TypeDiscard or TypeWriteZeroes when !_image.IsReadOnly:
                status = ClearRanges(request);
                break;
            default:
                status = StatusUnsupported;
                break;
        }

        chain.Write(Memory, chain.WritableBytes - 1, [status]);
        return (written + 1, status == StatusOk);
    }

    private byte ReadSectors(DescriptorChain chain, IoVector[] vectors, ulong sector, out uint written)
    {
        uint bytes = chain.WritableBytes - 1;
        written = 0;
        if (!TryGetOffset(sector, bytes, out long offset))
        {
            return StatusIoError;
        }

        uint done = 0;
        DiskStatus status;
        do
        {
            uint part = Math.Min(bytes - done, MaxTransfer);
            int count = Gather(chain.Writable, vectors, done, part);
            status = _image.Read(offset + done, vectors.AsSpan(0, count));
            done += part;
        }
        while (status == DiskStatus.Ok && done < bytes && Volatile.Read(ref _accepting));

        // Also after an error: some of it may have been written.
        chain.NotifyWritten(Memory, bytes);
        if (status == DiskStatus.Ok)
        {
            // Less than all only of a device that is being stopped: the driver gets no answer.
            written = done;
        }

        return Answer(status, "read");
    }

    private byte WriteSectors(DescriptorChain chain, IoVector[] vectors, ulong sector)
    {
        uint bytes = chain.ReadableBytes - HeaderSize;
        if (_image.IsReadOnly || !TryGetOffset(sector, bytes, out long offset))
        {
            return StatusIoError;
        }

        uint done = 0;
        DiskStatus status;
        do
        {
            uint part = Math.Min(bytes - done, MaxTransfer);
            int count = Gather(chain.Readable, vectors, HeaderSize + done, part);
            status = _image.Write(offset + done, vectors.AsSpan(0, count));
            done += part;
        }
        while (status == DiskStatus.Ok && done < bytes && Volatile.Read(ref _accepting));

        if (status == DiskStatus.Ok && !(_writeback && HasFeature(FeatureFlush)))
        {
            // A driver that cannot flush, or that chose write-through, is told of a write only when it is durable (5.2.6.2).
            status = _image.Flush();
        }

        return Answer(status, "write");
    }

    private byte ClearRanges(BlockRequest request)
    {
        DescriptorChain chain = request.Chain;
        bool discard = request.Type == TypeDiscard;
        uint bytes = chain.ReadableBytes - HeaderSize;
        uint limit = discard ? MaxDiscardRanges : MaxWriteZeroesRanges;
        if (bytes == 0 || bytes % RangeSize != 0 || bytes / RangeSize > limit)
        {
            return StatusIoError;
        }

        Span<byte> range = stackalloc byte[RangeSize];
        for (uint at = 0; at < bytes; at += RangeSize)
        {
            chain.Read(HeaderSize + at, range);
            ulong sector = BinaryPrimitives.ReadUInt64LittleEndian(range);
            uint sectors = BinaryPrimitives.ReadUInt32LittleEndian(range[8..]);
            uint flags = BinaryPrimitives.ReadUInt32LittleEndian(range[12..]);
            if ((flags & ~RangeUnmap) != 0 || (discard && flags != 0))
            {
                return StatusUnsupported;
            }

            if (sectors > (discard ? MaxDiscardSectors : MaxWriteZeroesSectors) || !TryGetOffset(sector, (ulong)sectors * SectorSize, out long offset))
            {
                return StatusIoError;
            }

            long length = (long)sectors * SectorSize;
            if (!discard && length > request.Size)
            {
                // The guest made it larger after it was paid for.
                return StatusIoError;
            }

            var status = discard ? _image.Discard(offset, length) : _image.WriteZeroes(offset, length, (flags & RangeUnmap) != 0);
            if (status == DiskStatus.Ok && !discard && !(_writeback && HasFeature(FeatureFlush)))
            {
                status = _image.Flush();
            }

            if (status != DiskStatus.Ok || !Volatile.Read(ref _accepting))
            {
                return Answer(status, discard ? "discard" : "write zeroes");
            }
        }

        return StatusOk;
    }

    private static long BytesToClear(DescriptorChain chain)
    {
        Span<byte> range = stackalloc byte[RangeSize];
        return chain.Read(HeaderSize, range) == RangeSize ? (long)BinaryPrimitives.ReadUInt32LittleEndian(range[8..]) * SectorSize : 0;
    }

    private bool TryGetOffset(ulong sector, ulong bytes, out long offset)
    {
        ulong capacity = (ulong)_image.Length;
        offset = (long)(sector * SectorSize);
        return sector <= capacity / SectorSize && bytes % SectorSize == 0 && bytes <= capacity - (sector * SectorSize);
    }

    private static int Gather(ReadOnlySpan<GuestSegment> segments, IoVector[] vectors, uint skip, uint bytes)
    {
        int count = 0;
        foreach (ref readonly var segment in segments)
        {
            if (skip >= segment.Length)
            {
                skip -= segment.Length;
                continue;
            }

            uint length = Math.Min(segment.Length - skip, bytes);
            if (length == 0)
            {
                break;
            }

            vectors[count++] = new IoVector { Base = segment.Pointer + (nint)skip, Length = length };
            bytes -= length;
            skip = 0;
        }

        return count;
    }

    private byte Answer(DiskStatus status, string operation)
    {
        if (status == DiskStatus.Ok)
        {
            return StatusOk;
        }

        Interlocked.Increment(ref _hostErrors);
        long now = Environment.TickCount64, next = Interlocked.Read(ref _nextErrorReport);
        if (now >= next && Interlocked.CompareExchange(ref _nextErrorReport, now + ErrorReportIntervalMs, next) == next)
        {
            RaiseEvent(MachineEventSeverity.Error, status == DiskStatus.NoSpace
                ? $"{Name}: the host has no space left for '{_image.Name}'. Free some; the guest sees an I/O error until then."
                : $"{Name}: the host could not {operation} '{_image.Name}' ({status}). The guest sees an I/O error.");
        }

        return StatusIoError;
    }

    /// <summary>A request between the ring and its completion; made once and used again.</summary>
    private sealed class BlockRequest(VirtioBlock disk) : IoRequest
    {
        public DescriptorChain Chain { get; } = new();

        /// <summary>When it was taken from the ring, nanoseconds, and whether it had to wait for a thread then.</summary>
        public long PoppedAt { get; set; }

        public bool HasWaited { get; set; }

        public uint Type { get; set; }

        public ulong Sector { get; set; }

        /// <summary>It asks the datastore for something.</summary>
        public bool IsIo { get; set; }

        public IoKind Command { get; set; }

        /// <summary>Bytes it reads, writes or clears.</summary>
        public long Size { get; set; }

        protected internal override void Granted() => disk.Grant(this);
    }
}
