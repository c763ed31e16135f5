using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Software;
using Hypervisor.Engine.Processor;

namespace Hypervisor.Tests.Unit.Partitions.Software;

public sealed class PhysicalMemoryMapTests : IDisposable
{
    private readonly PhysicalMemoryMap _map = new(40);

    public void Dispose() => _map.Dispose();

    [Fact]
    public void Addresses_find_their_range_and_gaps_find_none()
    {
        _map.Map(0x10_0000, 0x7000_0000, 0x2000, MemoryAccess.All);
        _map.Map(0, 0x6000_0000, 0xA_0000, MemoryAccess.All);
        _map.Map(0xF_0000, 0x5000_0000, 0x1_0000, MemoryAccess.Rom);
        Assert.Equal(0x6000_0000, _map.Find(0x9_FFFF)!.Host);
        Assert.Null(_map.Find(0xA_0000));
        Assert.False(_map.Find(0xF_0000)!.Writable);
        Assert.Equal(0x7000_0000, _map.Find(0x10_1FFF)!.Host);
        Assert.Null(_map.Find(0x10_2000));
    }

    [Theory]
    [InlineData(0x1000ul, 0x2000ul)]
    [InlineData(0x800ul, 0x1000ul)]
    [InlineData(0x10_0000ul, 0x800ul)]
    [InlineData(0x10_0000ul, 0ul)]
    [InlineData(0xFF_FFFF_F000ul, 0x2000ul)]
    [InlineData(0xFFFF_FFFF_FFFF_F000ul, 0x1000ul)]
    public void Bad_ranges_are_refused(ulong first, ulong bytes)
    {
        _map.Map(0x2000, 0x1000_0000, 0x1000, MemoryAccess.All);
        Assert.Throws<ArgumentException>(() => _map.Map(first, 0x2000_0000, bytes, MemoryAccess.All));
    }

    [Fact]
    public void Tracked_pages_are_harvested_once_after_each_write()
    {
        _map.Map(0x1000, 0x1000_0000, 0x6_4000, MemoryAccess.All);
        _map.SetTracking(0x1000, true);
        ulong[] bitmap = new ulong[2];
        _map.Harvest(0x1000, bitmap);
        Assert.Equal([0ul, 0ul], bitmap);
        _map.Change(1 + 3, 0, PageAttributes.TrackWrites);
        _map.Change(1 + 70, 0, PageAttributes.TrackWrites);
        _map.Harvest(0x1000, bitmap);
        Assert.Equal([8ul, 64ul], bitmap);
        _map.Harvest(0x1000, bitmap);
        Assert.Equal([0ul, 0ul], bitmap);
    }

    [Fact]
    public void A_range_that_is_not_tracked_has_no_dirty_pages()
    {
        _map.Map(0, 0x1000_0000, 0x2000, MemoryAccess.All);
        _map.SetTracking(0, true);
        _map.SetTracking(0, false);
        ulong[] bitmap = new ulong[1];
        _map.Harvest(0, bitmap);
        Assert.Equal(0ul, bitmap[0]);
        Assert.Throws<ArgumentException>(() => _map.Harvest(0, []));
        Assert.Throws<ArgumentException>(() => _map.Harvest(0x1000, bitmap));
    }

    [Fact]
    public void Attributes_survive_the_growth_of_their_table()
    {
        _map.Map(0, 0x1000_0000, 0x1000, MemoryAccess.All);
        _map.Change(0, PageAttributes.Code, 0);
        ulong before = _map.AttributeCount;
        _map.Map(before * 4096, 0x2000_0000, 0x1000, MemoryAccess.All);
        Assert.True(_map.AttributeCount > before);
        Assert.Equal(PageAttributes.Code, _map.Change(0, 0, 0));
    }
}
