using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Partitions;

public class ExtendedStateLayoutTests
{
    // AVX at its usual place, a component that needs alignment, and a hole between them.
    private static readonly ExtendedStateLayout Layout = new(
    [
        default, default, new(256, 576, false), default, default, new(64, 1088, false), new(512, 1152, true),
    ]);

    [Fact]
    public void An_image_survives_the_way_through_the_compacted_format()
    {
        byte[] standard = new byte[Layout.StandardBytes];
        new Random(1).NextBytes(standard);
        standard.AsSpan(512, 64).Clear();
        standard.AsSpan(832, 1088 - 832).Clear();
        standard[512] = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6;
        byte[] compacted = new byte[4096];
        int length = Layout.ToCompacted(standard, compacted);

        // 576 + 256 + 64 = 896, aligned to 64, + 512.
        Assert.Equal(1408, length);
        Assert.Equal(0x80, compacted[527]);
        byte[] back = new byte[Layout.StandardBytes];
        Assert.Equal(Layout.StandardBytes, Layout.ToStandard(compacted.AsSpan(0, length), back));
        Assert.Equal(standard, back);
    }

    [Fact]
    public void Absent_components_read_as_zero_and_are_not_in_the_bitmap()
    {
        byte[] standard = new byte[Layout.StandardBytes];
        Array.Fill(standard, (byte)0xEE, 576, standard.Length - 576);
        standard[512] = 1 << 1 | 1 << 6;
        byte[] compacted = new byte[4096];
        int length = Layout.ToCompacted(standard, compacted);
        byte[] back = new byte[Layout.StandardBytes];
        Layout.ToStandard(compacted.AsSpan(0, length), back);
        Assert.Equal(1 << 1 | 1 << 6, back[512]);
        Assert.Equal(0, back[600]);
        Assert.Equal(0xEE, back[1152]);
    }

    [Fact]
    public void A_short_destination_gets_the_legacy_state_only()
    {
        byte[] standard = new byte[Layout.StandardBytes];
        standard[512] = 1 << 1 | 1 << 2;
        standard[160] = 0x55;
        byte[] compacted = new byte[4096];
        int length = Layout.ToCompacted(standard, compacted);
        byte[] back = new byte[600];
        Assert.Equal(600, Layout.ToStandard(compacted.AsSpan(0, length), back));
        Assert.Equal(1 << 1, back[512]);
        Assert.Equal(0x55, back[160]);
    }
}
