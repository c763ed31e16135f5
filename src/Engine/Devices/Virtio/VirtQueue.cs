using System.Numerics;
using System.Runtime.CompilerServices;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>What <see cref="VirtQueue.TryPop"/> found.</summary>
public enum PopResult
{
    /// <summary>The driver has made nothing available.</summary>
    Empty,
    /// <summary>The chain is filled.</summary>
    Chain,
    /// <summary>The ring is nonsense; the queue yields nothing more until the device is reset.</summary>
    Broken,
}

/// <summary>
/// The device's side of a split virtqueue (virtio 1.2, 2.7). The rings lie in guest memory and every value in them is copied before
/// it is checked and used. Not synchronised: a device guards each queue with a lock of its own. Nothing here allocates or throws.
/// </summary>
public sealed unsafe class VirtQueue
{
    /// <summary>Most segments of a request, direct or indirect; bounds the time a hostile chain can take.</summary>
    public const int MaxSegments = 1024;

    /// <summary>
    /// Most bytes of a request whose memory is used. Segments may name the same memory again and again, and each is brought into memory and
    /// pinned: without a bound a small guest could have the host do that with 4 GB a request. No driver asks for nearly as much.
    /// </summary>
    public const uint MaxBytes = 128 << 20;

    private const int MaxTableEntries = 65536;
    private const ushort FlagNext = 1, FlagWrite = 2, FlagIndirect = 4;
    private const ushort AvailNoInterrupt = 1, UsedNoNotify = 1;
    private const int DescriptorSize = 16;

    private readonly GuestMemory _memory;
    private byte* _descriptors, _available, _used;
    private ulong _descriptorsAt, _availableAt, _usedAt;
    private ushort _size;
    private ushort _nextAvailable, _nextUsed, _published;
    private bool _indirect, _eventIndex, _active, _broken;

    internal VirtQueue(GuestMemory memory, int index, ushort maxSize)
    {
        if (!BitOperations.IsPow2(maxSize) || maxSize > MaxSegments)
        {
            throw new ArgumentException($"A queue size of {maxSize} is not a power of two up to {MaxSegments}.");
        }

        (_memory, Index, MaxSize) = (memory, index, maxSize);
        Reset();
    }

    /// <summary>Index in the device.</summary>
    public int Index { get; }

    /// <summary>Most descriptors.</summary>
    public ushort MaxSize { get; }

    /// <summary>The device may use the queue: the driver enabled it and set DRIVER_OK.</summary>
    public bool IsActive => _active;

    /// <summary>Why the queue broke, a phrase for a person; null while it has not.</summary>
    public string? BrokenReason { get; private set; }

    /// <summary>Descriptors the driver asked for.</summary>
    internal ushort ConfiguredSize { get; set; }

    /// <summary>Guest-physical address of the descriptor table.</summary>
    internal ulong DescriptorAddress { get; set; }

    /// <summary>Guest-physical address of the driver area, the available ring.</summary>
    internal ulong DriverAddress { get; set; }

    /// <summary>Guest-physical address of the device area, the used ring.</summary>
    internal ulong DeviceAddress { get; set; }

    /// <summary>The driver's queue_enable.</summary>
    internal bool Enabled { get; set; }

    /// <summary>The device only wants to know which pages requests name: segments have no pointer, and their pages stay where they are.</summary>
    internal bool NamesPages { get; set; }

    /// <summary>Requests that wait to be popped.</summary>
    public int Available => _active && !_broken ? (ushort)(Volatile.Read(ref U16(_available, 2)) - _nextAvailable) : 0;

    /// <summary>Back to power-on: disabled and forgotten.</summary>
    internal void Reset()
    {
        Unpin();
        _active = _broken = Enabled = false;
        BrokenReason = null;
        ConfiguredSize = MaxSize;
        DescriptorAddress = DriverAddress = DeviceAddress = 0;
        _nextAvailable = _nextUsed = _published = 0;
    }

    /// <summary>Validates what the driver programmed and starts the queue; false when it cannot be used.</summary>
    internal bool TryActivate(bool indirect, bool eventIndex)
    {
        Unpin();
        uint size = ConfiguredSize;
        _size = (ushort)size;
        if (!BitOperations.IsPow2(size) || size > MaxSize
            || (DescriptorAddress & 15) != 0 || (DriverAddress & 1) != 0 || (DeviceAddress & 3) != 0
            || !TryPin(DescriptorAddress, size * DescriptorSize, forWriting: false, ref _descriptors, ref _descriptorsAt)
            || !TryPin(DriverAddress, 6 + (2 * size), forWriting: false, ref _available, ref _availableAt)
            || !TryPin(DeviceAddress, 6 + (8 * size), forWriting: true, ref _used, ref _usedAt))
        {
            Break("its rings do not lie in guest memory as virtio requires");
            return false;
        }

        (_indirect, _eventIndex) = (indirect, eventIndex);
        _active = true;
        return true;
    }

    /// <summary>Takes the next request. The chain's former content is lost in any case.</summary>
    public PopResult TryPop(DescriptorChain chain)
    {
        chain.Clear();
        if (!_active || _broken)
        {
            return _broken ? PopResult.Broken : PopResult.Empty;
        }

        // The acquire pairs with the driver's barrier between filling the ring and moving idx (2.7.13.3).
        int waiting = (ushort)(Volatile.Read(ref U16(_available, 2)) - _nextAvailable);
        if (waiting == 0)
        {
            return PopResult.Empty;
        }

        if (waiting > _size)
        {
            return Break("the available index ran ahead of the ring");
        }

        ushort head = Volatile.Read(ref U16(_available, 4 + (2 * (_nextAvailable & (_size - 1)))));
        _nextAvailable++;
        chain.Head = head;
        if (Walk(chain, _descriptors, _size, head, inTable: false) is { } broken)
        {
            chain.Clear();
            return broken;
        }

        return PopResult.Chain;
    }

    /// <summary>Hands a request back and lets go of its memory. The driver sees it with the next <see cref="Publish"/>.</summary>
    /// <param name="chain">The request; empty afterwards.</param>
    /// <param name="written">Bytes written to its writable segments, counted from the first on.</param>
    public void Push(DescriptorChain chain, uint written)
    {
        chain.Clear();
        Push(chain.Head, written);
    }

    /// <summary>As <see cref="Push(DescriptorChain, uint)"/>, for a request whose chain was used for another since.</summary>
    /// <param name="head"><see cref="DescriptorChain.Head"/>.</param>
    /// <param name="written">Bytes written to its writable segments, counted from the first on.</param>
    public void Push(ushort head, uint written)
    {
        if (!_active)
        {
            return;
        }

        byte* element = _used + 4 + (8 * (_nextUsed & (_size - 1)));
        Unsafe.Write(element, (uint)head);
        Unsafe.Write(element + 4, written);
        _nextUsed++;
    }

    /// <summary>
    /// Makes all pushed requests visible to the driver. True when it wants to be interrupted for them (2.7.7 and 2.7.10): the device
    /// then signals the queue, after it let go of its lock if it likes.
    /// </summary>
    public bool Publish()
    {
        ushort from = _published, to = _nextUsed;
        if (!_active || from == to)
        {
            return false;
        }

        Volatile.Write(ref U16(_used, 2), to);
        _published = to;
        _memory.NotifyWritten(DeviceAddress, 6 + (8ul * _size));

        // idx must be visible before the driver's wish is read, or both sides could wait for each other.
        Interlocked.MemoryBarrier();
        if (!_eventIndex)
        {
            return (Volatile.Read(ref U16(_available, 0)) & AvailNoInterrupt) == 0;
        }

        ushort usedEvent = Volatile.Read(ref U16(_available, 4 + (2 * _size)));
        return (ushort)(to - usedEvent - 1) < (ushort)(to - from);
    }

    /// <summary>Asks the driver not to notify of new requests: the device looks by itself. A hint; notifications may still come.</summary>
    public void DisableNotifications()
    {
        // With EVENT_IDX the event index simply stays behind.
        if (_active && !_eventIndex)
        {
            Volatile.Write(ref U16(_used, 0), UsedNoNotify);
            _memory.NotifyWritten(DeviceAddress, 2);
        }
    }

    /// <summary>Asks the driver to notify of the next request. True when there is one already: look again before going to sleep.</summary>
    public bool EnableNotifications()
    {
        if (!_active || _broken)
        {
            return false;
        }

        if (_eventIndex)
        {
            Volatile.Write(ref U16(_used, 4 + (8 * _size)), _nextAvailable);
            _memory.NotifyWritten(DeviceAddress + 4 + (8ul * _size), 2);
        }
        else
        {
            Volatile.Write(ref U16(_used, 0), 0);
            _memory.NotifyWritten(DeviceAddress, 2);
        }

        // The wish must be visible before idx is read again.
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref U16(_available, 2)) != _nextAvailable;
    }

    /// <summary>Declares the queue unusable, for a request that the device itself finds malformed beyond answering.</summary>
    public PopResult Break(string reason)
    {
        _broken = true;
        BrokenReason ??= reason;
        return PopResult.Broken;
    }

    // Null when the chain is complete. Each descriptor is copied once, then checked: the guest may rewrite it meanwhile.
    private PopResult? Walk(DescriptorChain chain, byte* table, uint count, uint index, bool inTable)
    {
        uint limit = inTable ? MaxSegments : count;
        for (uint steps = 0; ; steps++)
        {
            if (index >= count)
            {
                return Break("a descriptor index lies outside its table");
            }

            if (steps >= limit)
            {
                return Break("a descriptor chain is a loop or too long");
            }

            byte* descriptor = table + (index * DescriptorSize);
            ulong address = Unsafe.ReadUnaligned<ulong>(descriptor);
            ulong rest = Volatile.Read(ref Unsafe.AsRef<ulong>(descriptor + 8));
            uint length = (uint)rest;
            ushort flags = (ushort)(rest >> 32), next = (ushort)(rest >> 48);

            if ((flags & FlagIndirect) != 0)
            {
                return inTable || !_indirect || (flags & FlagNext) != 0
                    ? Break("an indirect descriptor stands where none may")
                    : WalkIndirect(chain, address, length);
            }

            // An empty segment is pointless but harmless; it has no address worth checking.
            if (length != 0)
            {
                bool writable = (flags & FlagWrite) != 0;
                if (!NamesPages && length > MaxBytes - chain.Bytes && _memory.Contains(address, length))
                {
                    return Break($"a descriptor chain exceeds {MaxBytes >> 20} MB");
                }

                nint pointer = 0;
                if (NamesPages ? !_memory.Contains(address, length) : !_memory.TryPin(address, length, writable, out pointer))
                {
                    return Break("a descriptor points outside guest memory");
                }

                if (!chain.TryAdd(NamesPages ? null : _memory, new GuestSegment(address, pointer, length), writable))
                {
                    if (!NamesPages)
                    {
                        _memory.Unpin(address, length);
                    }

                    return Break("a descriptor chain is out of order or exceeds 4 GB");
                }
            }

            if ((flags & FlagNext) == 0)
            {
                return null;
            }

            index = next;
        }
    }

    private PopResult? WalkIndirect(DescriptorChain chain, ulong address, uint length)
    {
        // More entries than a 16-bit next field can name need not be in memory.
        uint entries = Math.Min(length / DescriptorSize, MaxTableEntries);
        if (length == 0 || length % DescriptorSize != 0 || !_memory.Contains(address, length)
            || !_memory.TryPin(address, entries * DescriptorSize, forWriting: false, out nint table))
        {
            return Break("an indirect table is no table in guest memory");
        }

        // SAFETY: the entries were validated and are pinned.
        var result = Walk(chain, (byte*)table, entries, 0, inTable: true);
        _memory.Unpin(address, entries * DescriptorSize);
        return result;
    }

    // SAFETY: what is pinned was validated for the size, and stays in place until Unpin; guest memory outlives its devices.
    private bool TryPin(ulong address, uint bytes, bool forWriting, ref byte* pointer, ref ulong pinned)
    {
        if (!_memory.TryPin(address, bytes, forWriting, out nint host))
        {
            return false;
        }

        pointer = (byte*)host;
        pinned = address;
        return true;
    }

    private void Unpin()
    {
        if (_descriptors != null)
        {
            _memory.Unpin(_descriptorsAt, (uint)_size * DescriptorSize);
        }

        if (_available != null)
        {
            _memory.Unpin(_availableAt, 6 + (2u * _size));
        }

        if (_used != null)
        {
            _memory.Unpin(_usedAt, 6 + (8u * _size));
        }

        _descriptors = _available = _used = null;
    }

    // SAFETY (all callers): offset lies in the area that TryActivate validated for _size descriptors.
    private static ref ushort U16(byte* area, int offset) => ref Unsafe.AsRef<ushort>(area + offset);
}
