using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Devices.Virtio;

public sealed class VirtQueueTests : IDisposable
{
    private const ushort Next = 1, Write = 2, Indirect = 4;

    private readonly MockVirtioDriver _driver = new(memory => new IdleDevice(memory));
    private readonly DescriptorChain _chain = new();

    private VirtQueue Queue => _driver.Device.Queues[0];

    public void Dispose()
    {
        _chain.Clear();
        _driver.Dispose();
    }

    private void Descriptor(ushort index, ulong address, uint length, ushort flags, ushort next = 0) =>
        _driver.WriteDescriptor(_driver.DescriptorTable(0) + (index * 16ul), address, length, flags, next);

    private void AssertBroken(string reason)
    {
        Assert.Equal(PopResult.Broken, Queue.TryPop(_chain));
        Assert.Contains(reason, Queue.BrokenReason, StringComparison.Ordinal);
        Assert.Equal(PopResult.Broken, Queue.TryPop(_chain));
        Assert.Equal(0, Queue.Available);
    }

    [Fact]
    public void A_chain_is_split_into_readable_and_writable_segments()
    {
        _driver.Start();
        ulong a = _driver.AllocateWith("hello "u8), b = _driver.AllocateWith("world"u8), c = _driver.Allocate(8);
        ushort head = _driver.Submit(0, (a, 6, false), (b, 5, false), (c, 8, true));
        Assert.Equal(PopResult.Chain, Queue.TryPop(_chain));
        Assert.Equal(head, _chain.Head);
        Assert.Equal((11u, 8u), (_chain.ReadableBytes, _chain.WritableBytes));
        byte[] text = new byte[7];
        Assert.Equal(7, _chain.Read(3, text));
        Assert.Equal("lo worl"u8.ToArray(), text);
        Assert.Equal(2, _chain.Read(9, text));
        Assert.Equal(3, _chain.Write(_driver.Memory, 5, "abcdef"u8));
        Assert.Equal("abc"u8.ToArray(), _driver.ReadMemory(c + 5, 3));
        Assert.Equal(PopResult.Empty, Queue.TryPop(_chain));
    }

    [Fact]
    public void Empty_segments_are_passed_over_wherever_they_point()
    {
        _driver.Start();
        ulong a = _driver.Allocate(16);
        _driver.Submit(0, (ulong.MaxValue, 0, false), (a, 4, false), (0, 0, true));
        Assert.Equal(PopResult.Chain, Queue.TryPop(_chain));
        Assert.Equal(1, _chain.Readable.Length);
        Assert.Equal(0, _chain.Writable.Length);
    }

    [Fact]
    public void A_direct_chain_may_end_in_an_indirect_table()
    {
        _driver.Start();
        ulong data = _driver.Allocate(64), table = _driver.Allocate(32);
        _driver.WriteDescriptor(table, data + 8, 8, Next, 1);
        _driver.WriteDescriptor(table + 16, data + 16, 8, Write, 0);
        Descriptor(0, data, 8, Next, 1);
        Descriptor(1, table, 32, Indirect);
        _driver.Offer(0, 0);
        Assert.Equal(PopResult.Chain, Queue.TryPop(_chain));
        Assert.Equal((16u, 8u), (_chain.ReadableBytes, _chain.WritableBytes));
    }

    [Fact]
    public void A_loop_breaks_the_queue()
    {
        _driver.Start();
        ulong data = _driver.Allocate(64);
        Descriptor(0, data, 8, Next, 1);
        Descriptor(1, data, 8, Next, 0);
        _driver.Offer(0, 0);
        AssertBroken("loop");
    }

    [Fact]
    public void A_loop_of_empty_descriptors_breaks_the_queue()
    {
        _driver.Start();
        Descriptor(0, 0, 0, Next, 0);
        _driver.Offer(0, 0);
        AssertBroken("loop");
    }

    [Fact]
    public void A_loop_in_an_indirect_table_breaks_the_queue()
    {
        _driver.Start();
        ulong data = _driver.Allocate(64), table = _driver.Allocate(32);
        _driver.WriteDescriptor(table, data, 1, Next, 1);
        _driver.WriteDescriptor(table + 16, data, 1, Next, 0);
        Descriptor(0, table, 32, Indirect);
        _driver.Offer(0, 0);
        AssertBroken("loop");
    }

    [Theory]
    [InlineData(64, 0)]
    [InlineData(0, 64)]
    [InlineData(0, ushort.MaxValue)]
    public void Indices_outside_the_table_break_the_queue(int head, int next)
    {
        _driver.Start();
        Descriptor(0, _driver.Allocate(8), 8, Next, (ushort)next);
        _driver.Offer(0, (ushort)head);
        AssertBroken("outside its table");
    }

    [Theory]
    [InlineData(MockVirtioDriver.MemoryBytes, 1u)]
    [InlineData(MockVirtioDriver.MemoryBytes - 8, 9u)]
    [InlineData(0ul, uint.MaxValue)]
    [InlineData(ulong.MaxValue, 1u)]
    [InlineData(ulong.MaxValue - 3, 8u)]
    [InlineData(0x8000_0000_0000_0000ul, 16u)]
    public void Addresses_outside_memory_break_the_queue(ulong address, uint length)
    {
        _driver.Start();
        Descriptor(0, address, length, 0);
        _driver.Offer(0, 0);
        AssertBroken("outside guest memory");
    }

    [Fact]
    public void A_readable_segment_after_a_writable_one_breaks_the_queue()
    {
        _driver.Start();
        ulong data = _driver.Allocate(64);
        _driver.Submit(0, (data, 8, true), (data, 8, false));
        AssertBroken("out of order");
    }

    [Fact]
    public void A_chain_that_names_the_same_memory_over_and_over_breaks_the_queue()
    {
        _driver.Start();
        ulong table = _driver.Allocate(16 * 400);
        for (uint i = 0; i < 400; i++)
        {
            _driver.WriteDescriptor(table + (i * 16), 0, (uint)MockVirtioDriver.MemoryBytes, Next, (ushort)(i + 1));
        }

        Descriptor(0, table, 16 * 400, Indirect);
        _driver.Offer(0, 0);
        AssertBroken("exceeds 128 MB");
    }

    [Theory]
    [InlineData(0u, 0ul)]
    [InlineData(15u, 0ul)]
    [InlineData(17u, 0ul)]
    [InlineData(16u, MockVirtioDriver.MemoryBytes)]
    [InlineData(0xFFFF_FFF0u, 0ul)]
    public void An_indirect_table_must_be_one(uint length, ulong address)
    {
        _driver.Start();
        Descriptor(0, address, length, Indirect);
        _driver.Offer(0, 0);
        AssertBroken("no table");
    }

    [Fact]
    public void An_indirect_descriptor_has_no_successor()
    {
        _driver.Start();
        Descriptor(0, _driver.Allocate(16), 16, Indirect | Next, 1);
        _driver.Offer(0, 0);
        AssertBroken("where none may");
    }

    [Fact]
    public void An_indirect_table_holds_no_indirect_descriptor()
    {
        _driver.Start();
        ulong table = _driver.Allocate(16);
        _driver.WriteDescriptor(table, table, 16, Indirect, 0);
        Descriptor(0, table, 16, Indirect);
        _driver.Offer(0, 0);
        AssertBroken("where none may");
    }

    [Fact]
    public void Indirect_descriptors_need_the_feature()
    {
        _driver.Start(~VirtioFeatures.IndirectDescriptors);
        Descriptor(0, _driver.Allocate(16), 16, Indirect);
        _driver.Offer(0, 0);
        AssertBroken("where none may");
    }

    [Fact]
    public void An_available_index_ahead_of_the_ring_breaks_the_queue()
    {
        _driver.Start();
        _driver.Memory.TryWrite(_driver.AvailableRing(0) + 2, (ushort)65);
        AssertBroken("ran ahead");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Indices_wrap(bool eventIndex)
    {
        _driver.Start(eventIndex ? ulong.MaxValue : ~VirtioFeatures.EventIndex, queueSize: 4);
        ulong data = _driver.Allocate(8);
        for (int i = 0; i < 70_000; i++)
        {
            ushort head = _driver.Submit(0, (data, 8, true));
            Assert.Equal(PopResult.Chain, Queue.TryPop(_chain));
            Queue.Push(_chain.Head, (uint)i);
            Assert.True(Queue.Publish());
            Assert.True(_driver.TryCollect(0, out ushort back, out uint written));
            Assert.Equal((head, (uint)i), (back, written));
        }
    }

    [Fact]
    public void With_event_index_only_the_awaited_completion_interrupts()
    {
        _driver.Start();
        ulong data = _driver.Allocate(8);
        for (int i = 0; i < 4; i++)
        {
            _driver.Submit(0, (data, 8, true));
        }

        // used_event 2: interrupt when the third element is used.
        _driver.Memory.TryWrite(_driver.AvailableRing(0) + 4 + (2 * 64), (ushort)2);
        var wanted = new List<bool>();
        while (Queue.TryPop(_chain) == PopResult.Chain)
        {
            Queue.Push(_chain.Head, 0);
            wanted.Add(Queue.Publish());
        }

        Assert.Equal([false, false, true, false], wanted);
    }

    [Fact]
    public void A_batch_that_passes_the_awaited_completion_interrupts()
    {
        _driver.Start();
        ulong data = _driver.Allocate(8);
        for (int i = 0; i < 4; i++)
        {
            _driver.Submit(0, (data, 8, true));
        }

        _driver.Memory.TryWrite(_driver.AvailableRing(0) + 4 + (2 * 64), (ushort)1);
        while (Queue.TryPop(_chain) == PopResult.Chain)
        {
            Queue.Push(_chain.Head, 0);
        }

        Assert.True(Queue.Publish());
        Assert.False(Queue.Publish());
    }

    [Fact]
    public void Without_event_index_flags_suppress_interrupts_and_notifications()
    {
        _driver.Start(~VirtioFeatures.EventIndex);
        _driver.Submit(0, (_driver.Allocate(8), 8, true));
        _driver.Memory.TryWrite(_driver.AvailableRing(0), (ushort)1);
        Assert.Equal(PopResult.Chain, Queue.TryPop(_chain));
        Queue.Push(_chain.Head, 0);
        Assert.False(Queue.Publish());
        Queue.DisableNotifications();
        Assert.False(_driver.WantsNotification(0));
        Assert.False(Queue.EnableNotifications());
        Assert.True(_driver.WantsNotification(0));
    }

    [Fact]
    public void Enabling_notifications_tells_of_a_request_that_slipped_in()
    {
        _driver.Start();
        Assert.False(Queue.EnableNotifications());
        _driver.Submit(0, (_driver.Allocate(8), 8, true));
        Assert.True(Queue.EnableNotifications());
    }

    /// <summary>A device that leaves its queues to the test.</summary>
    private sealed class IdleDevice(Hypervisor.Engine.Memory.GuestMemory memory)
        : VirtioDevice(VirtioDeviceType.Entropy, "test device", memory, 0, 64)
    {
        protected override ulong DeviceFeatures => 0;

        public override void Notify(int queue)
        {
        }

        protected override void Start()
        {
        }

        protected override bool Stop() => true;
    }
}
