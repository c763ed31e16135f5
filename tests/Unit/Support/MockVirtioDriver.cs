using System.Diagnostics;
using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Pci;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>
/// The guest's side of a virtio device: finds its capabilities on PCI, negotiates, keeps split rings in guest memory, submits chains
/// and collects what comes back; in short what a kernel's driver does.
/// </summary>
internal sealed class MockVirtioDriver : IDisposable
{
    public const ulong MemoryBytes = 16 << 20;

    private const ulong EventIndexFeature = 1ul << 29;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly List<QueueState> _queues = [];
    private readonly PagedMemory _paged;
    private bool _disposed;
    private ulong _nextFree = 0x10000;

    public MockVirtioDriver(Func<GuestMemory, VirtioDevice> makeDevice)
    {
        Memory.AddBlock(0, MemoryBytes);
        _paged = new PagedMemory(Memory);
        Memory.Written = (address, bytes) => Assert.True(Memory.Contains(address, bytes));
        Pci = new PciBus(Bus, Messages, gsi => Lines[gsi] = new RecordingLine());
        Device = makeDevice(Memory);
        Transport = new VirtioPciDevice(Device);
        Slot = Pci.Attach(Transport);
        Pci.AssignResources();
        FindCapabilities();
    }

    public GuestMemory Memory { get; } = new();

    /// <summary>Where the memory's pages are.</summary>
    public GuestPages Pages => _paged.Pages;

    public MachineBus Bus { get; } = new();
    public RecordingMsiSink Messages { get; } = new();
    public Dictionary<int, RecordingLine> Lines { get; } = [];
    public PciBus Pci { get; }
    public VirtioDevice Device { get; }
    public VirtioPciDevice Transport { get; }
    public int Slot { get; }
    public ulong Common { get; private set; }
    public ulong Isr { get; private set; }
    public ulong DeviceConfig { get; private set; }
    public ulong NotifyBase { get; private set; }
    public uint NotifyMultiplier { get; private set; }
    public ulong MsixTable { get; private set; }
    public int AccessCapability { get; private set; }
    public ulong Features { get; private set; }

    public byte Status
    {
        get => (byte)Bus.ReadMmio(Common + 0x14, 1);
        set => Bus.WriteMmio(Common + 0x14, 1, value);
    }

    public ulong OfferedFeatures
    {
        get
        {
            Bus.WriteMmio(Common, 4, 0);
            ulong low = Bus.ReadMmio(Common + 4, 4);
            Bus.WriteMmio(Common, 4, 1);
            return low | (Bus.ReadMmio(Common + 4, 4) << 32);
        }
    }

    public uint ReadConfig(int offset, int size)
    {
        Bus.WritePort(0xCF8, 4, 0x8000_0000u | ((uint)Slot << 11) | ((uint)offset & 0xFC));
        return Bus.ReadPort((ushort)(0xCFC + (offset & 3)), size);
    }

    public void WriteConfig(int offset, int size, uint value)
    {
        Bus.WritePort(0xCF8, 4, 0x8000_0000u | ((uint)Slot << 11) | ((uint)offset & 0xFC));
        Bus.WritePort((ushort)(0xCFC + (offset & 3)), size, value);
    }

    /// <summary>Reset, negotiation, queues, DRIVER_OK: virtio 1.2, 3.1.1.</summary>
    public void Start(ulong wanted = ulong.MaxValue, ushort queueSize = ushort.MaxValue, bool msix = true)
    {
        Reset();
        Status = 1;
        Status = 3;
        Features = OfferedFeatures & wanted;
        Bus.WriteMmio(Common + 8, 4, 0);
        Bus.WriteMmio(Common + 12, 4, (uint)Features);
        Bus.WriteMmio(Common + 8, 4, 1);
        Bus.WriteMmio(Common + 12, 4, (uint)(Features >> 32));
        Status = 11;
        Assert.Equal(11, Status);
        int count = (int)Bus.ReadMmio(Common + 0x12, 2);
        if (msix)
        {
            for (int vector = 0; vector <= count; vector++)
            {
                Bus.WriteMmio(MsixTable + ((ulong)vector * 16), 4, 0xFEE0_0000);
                Bus.WriteMmio(MsixTable + ((ulong)vector * 16) + 4, 4, 0);
                Bus.WriteMmio(MsixTable + ((ulong)vector * 16) + 8, 4, (uint)(0x40 + vector));
                Bus.WriteMmio(MsixTable + ((ulong)vector * 16) + 12, 4, 0);
            }

            SetMsixControl(0x8000);
            Bus.WriteMmio(Common + 0x10, 2, 0);
        }

        for (int i = 0; i < count; i++)
        {
            Bus.WriteMmio(Common + 0x16, 2, (ulong)i);
            ushort size = (ushort)Math.Min(Bus.ReadMmio(Common + 0x18, 2), queueSize);
            Bus.WriteMmio(Common + 0x18, 2, size);
            Bus.WriteMmio(Common + 0x1A, 2, (ulong)i + 1);
            ulong notify = NotifyBase + (Bus.ReadMmio(Common + 0x1E, 2) * NotifyMultiplier);
            var queue = new QueueState(size, Allocate(size * 16u), Allocate(6 + (2u * size)), Allocate(6 + (8u * size)), notify);
            Bus.WriteMmio(Common + 0x20, 8, queue.Descriptors);
            Bus.WriteMmio(Common + 0x28, 4, (uint)queue.Available);
            Bus.WriteMmio(Common + 0x2C, 4, queue.Available >> 32);
            Bus.WriteMmio(Common + 0x30, 8, queue.Used);
            Bus.WriteMmio(Common + 0x1C, 2, 1);
            _queues.Add(queue);
        }

        Status = 15;
    }

    public void Reset()
    {
        Status = 0;
        WaitFor(() => Status == 0);
        _queues.Clear();
        _nextFree = 0x10000;
    }

    /// <summary>Room in guest memory, zeroed and 4096-aligned.</summary>
    public ulong Allocate(uint bytes)
    {
        ulong address = _nextFree;
        _nextFree = (_nextFree + bytes + 4095) & ~4095ul;
        Assert.True(_nextFree <= MemoryBytes, "The mock driver has no memory left.");
        Assert.True(Memory.TryWrite(address, new byte[bytes]));
        return address;
    }

    public ulong AllocateWith(ReadOnlySpan<byte> content)
    {
        ulong address = Allocate((uint)content.Length);
        Assert.True(Memory.TryWrite(address, content));
        return address;
    }

    public byte[] ReadMemory(ulong address, int bytes)
    {
        byte[] content = new byte[bytes];
        Assert.True(Memory.TryRead(address, content));
        return content;
    }

    /// <summary>Makes a chain available, without a notification. Returns its head.</summary>
    public ushort Submit(int queue, params (ulong Address, uint Length, bool Writable)[] segments)
    {
        var state = _queues[queue];
        ushort head = state.Free.Peek();
        ushort index = 0;
        var chain = new List<ushort>();
        for (int i = 0; i < segments.Length; i++)
        {
            index = state.Free.Dequeue();
            chain.Add(index);
            bool last = i == segments.Length - 1;
            ushort next = last ? (ushort)0 : state.Free.Peek();
            WriteDescriptor(state.Descriptors + (index * 16ul), segments[i].Address, segments[i].Length,
                (ushort)((last ? 0 : 1) | (segments[i].Writable ? 2 : 0)), next);
        }

        state.Chains[head] = chain;
        Offer(queue, head);
        return head;
    }

    /// <summary>Makes a chain available through an indirect table.</summary>
    public ushort SubmitIndirect(int queue, params (ulong Address, uint Length, bool Writable)[] segments)
    {
        ulong table = Allocate((uint)segments.Length * 16);
        for (int i = 0; i < segments.Length; i++)
        {
            bool last = i == segments.Length - 1;
            WriteDescriptor(table + ((ulong)i * 16), segments[i].Address, segments[i].Length,
                (ushort)((last ? 0 : 1) | (segments[i].Writable ? 2 : 0)), (ushort)(i + 1));
        }

        var state = _queues[queue];
        ushort head = state.Free.Dequeue();
        state.Chains[head] = [head];
        WriteDescriptor(state.Descriptors + (head * 16ul), table, (uint)segments.Length * 16, 4, 0);
        Offer(queue, head);
        return head;
    }

    public void WriteDescriptor(ulong at, ulong address, uint length, ushort flags, ushort next)
    {
        Memory.TryWrite(at, address);
        Memory.TryWrite(at + 8, length | ((ulong)flags << 32) | ((ulong)next << 48));
    }

    /// <summary>Puts a head into the available ring, whatever its descriptors say.</summary>
    public void Offer(int queue, ushort head)
    {
        var state = _queues[queue];
        Memory.TryWrite(state.Available + 4 + (2ul * (uint)(state.AvailableIndex % state.Size)), head);
        Thread.MemoryBarrier();
        Memory.TryWrite(state.Available + 2, ++state.AvailableIndex);
    }

    public void Notify(int queue) => Bus.WriteMmio(_queues[queue].Notify, 2, (ulong)queue);

    public ulong DescriptorTable(int queue) => _queues[queue].Descriptors;

    public ulong AvailableRing(int queue) => _queues[queue].Available;

    public ulong UsedRing(int queue) => _queues[queue].Used;

    /// <summary>True when the device's hints ask for a notification of the newest request.</summary>
    public bool WantsNotification(int queue)
    {
        var state = _queues[queue];
        if ((Features & EventIndexFeature) == 0)
        {
            Memory.TryRead(state.Used, out ushort flags);
            return (flags & 1) == 0;
        }

        Memory.TryRead(state.Used + 4 + (8ul * state.Size), out ushort availableEvent);
        return (ushort)(state.AvailableIndex - availableEvent - 1) < 1;
    }

    /// <summary>Takes the next used element, if there is one; asks for an interrupt for the one after it.</summary>
    public bool TryCollect(int queue, out ushort head, out uint written)
    {
        var state = _queues[queue];
        Memory.TryRead(state.Used + 2, out ushort index);
        (head, written) = (0, 0);
        if (index == state.UsedIndex)
        {
            return false;
        }

        Thread.MemoryBarrier();
        Memory.TryRead(state.Used + 4 + (8ul * (uint)(state.UsedIndex % state.Size)), out ulong element);
        (head, written) = ((ushort)element, (uint)(element >> 32));
        state.UsedIndex++;
        Memory.TryWrite(state.Available + 4 + (2ul * state.Size), state.UsedIndex);
        if (state.Chains.Remove(head, out var chain))
        {
            chain.ForEach(state.Free.Enqueue);
        }

        return true;
    }

    public (ushort Head, uint Written) Collect(int queue)
    {
        ushort head = 0;
        uint written = 0;
        WaitFor(() => TryCollect(queue, out head, out written));
        return (head, written);
    }

    /// <summary>Submits, notifies, waits: returns the bytes the device says it wrote.</summary>
    public uint Request(int queue, params (ulong Address, uint Length, bool Writable)[] segments)
    {
        ushort head = Submit(queue, segments);
        Notify(queue);
        var done = Collect(queue);
        Assert.Equal(head, done.Head);
        return done.Written;
    }

    /// <summary>Waits for something another thread does; the limit only ends a test that would hang.</summary>
    public static void WaitFor(Func<bool> condition)
    {
        long start = Stopwatch.GetTimestamp();
        var wait = new SpinWait();
        while (!condition())
        {
            Assert.True(Stopwatch.GetElapsedTime(start) < Patience, "The device did not do it.");
            wait.SpinOnce();
        }
    }

    public void SetMsixControl(ushort control)
    {
        int capability = FindCapability(0x11);
        WriteConfig(capability + 2, 2, control);
    }

    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        Device.Dispose();
        int pinned = _paged.Pinned;
        _paged.Dispose();
        Memory.Dispose();
        Assert.Equal(0, pinned);
    }

    private int FindCapability(byte id, Func<int, bool>? accept = null)
    {
        for (int at = (int)ReadConfig(0x34, 1); at != 0; at = (int)ReadConfig(at + 1, 1))
        {
            if (ReadConfig(at, 1) == id && (accept == null || accept(at)))
            {
                return at;
            }
        }

        return 0;
    }

    private void FindCapabilities()
    {
        Common = Region(1);
        NotifyBase = Region(2);
        NotifyMultiplier = ReadConfig(FindCapability(9, at => ReadConfig(at + 3, 1) == 2) + 16, 4);
        Isr = Region(3);
        DeviceConfig = Region(4);
        AccessCapability = FindCapability(9, at => ReadConfig(at + 3, 1) == 5);
        MsixTable = BarAddress((int)ReadConfig(FindCapability(0x11) + 4, 4) & 7);
    }

    private ulong Region(byte type)
    {
        int at = FindCapability(9, at => ReadConfig(at + 3, 1) == type);
        return at == 0 ? 0 : BarAddress((int)ReadConfig(at + 4, 1)) + ReadConfig(at + 8, 4);
    }

    private ulong BarAddress(int bar) => ReadConfig(0x10 + (bar * 4), 4) & ~0xFu;

    private sealed class QueueState(ushort size, ulong descriptors, ulong available, ulong used, ulong notify)
    {
        public ushort Size { get; } = size;
        public ulong Descriptors { get; } = descriptors;
        public ulong Available { get; } = available;
        public ulong Used { get; } = used;
        public ulong Notify { get; } = notify;
        public ushort AvailableIndex { get; set; }
        public ushort UsedIndex { get; set; }
        public Queue<ushort> Free { get; } = new(Enumerable.Range(0, size).Select(i => (ushort)i));
        public Dictionary<ushort, List<ushort>> Chains { get; } = [];
    }
}
