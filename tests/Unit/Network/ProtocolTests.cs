using Hypervisor.Engine.Network;
using Hypervisor.Engine.Network.Protocols;
using Hypervisor.Engine.Network.UserMode;

namespace Hypervisor.Tests.Unit.Network;

public sealed class ProtocolTests
{
    [Fact]
    public void The_checksum_agrees_with_the_definition_for_every_length_and_start()
    {
        var random = new Random(1);
        byte[] data = new byte[300];
        for (int length = 0; length < 200; length++)
        {
            random.NextBytes(data);
            for (int start = 0; start < 9; start++)
            {
                uint sum = 0x1234;
                for (int i = 0; i < length; i += 2)
                {
                    sum += (uint)(data[start + i] << 8) | (i + 1 < length ? data[start + i + 1] : 0u);
                }

                while (sum > 0xFFFF)
                {
                    sum = (sum & 0xFFFF) + (sum >> 16);
                }

                Assert.Equal(sum, InternetChecksum.Add(0x1234, data.AsSpan(start, length)));
            }
        }
    }

    [Fact]
    public void A_sum_of_all_ones_words_does_not_lose_its_carries()
    {
        byte[] data = new byte[65535];
        Array.Fill(data, (byte)0xFF);
        Assert.Equal(0xFFFFu, InternetChecksum.Add(0, data.AsSpan(0, 65534)));
        Assert.True(InternetChecksum.IsValid(InternetChecksum.Add(0xFFFF, data.AsSpan(0, 40000))));
    }

    [Theory]
    [InlineData("00:50:56:aB:cd:EF", true)]
    [InlineData("00-50-56-ab-cd-ef", true)]
    [InlineData("00:50:56:ab:cd", false)]
    [InlineData("00:50:56:ab:cd:e ", false)]
    [InlineData("00.50.56.ab.cd.ef", false)]
    [InlineData(null, false)]
    public void A_mac_address_is_read_in_its_usual_spellings_only(string? text, bool valid)
    {
        Assert.Equal(valid, MacAddress.TryParse(text, out var address));
        Assert.Equal(valid ? "00:50:56:ab:cd:ef" : "00:00:00:00:00:00", address.ToString());
    }

    [Fact]
    public void Ranges_agree_with_a_set_of_numbers_across_the_wrap_of_sequence_space()
    {
        var random = new Random(2);
        for (int round = 0; round < 200; round++)
        {
            uint start = uint.MaxValue - 500;
            var ranges = new SequenceRanges(8);
            var model = new HashSet<int>();
            for (int i = 0; i < 30; i++)
            {
                int first = random.Next(1000), end = first + 1 + random.Next(100);
                if (ranges.TryAdd(start + (uint)first, start + (uint)end))
                {
                    model.UnionWith(Enumerable.Range(first, end - first));
                }

                Assert.Equal(model.Count, ranges.Total);
            }

            uint next = ranges.TakeFrom(start);
            int expected = 0;
            while (model.Contains(expected))
            {
                expected++;
            }

            Assert.Equal(start + (uint)expected, next);
            Assert.Equal(model.Count - expected, ranges.Total);
        }
    }

    [Fact]
    public void A_ring_gives_its_bytes_in_order_across_its_end_and_keeps_bytes_written_ahead()
    {
        var ring = new ByteRing(16);
        ring.WriteAt(0, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        ring.Commit(10);
        ring.Consume(9);
        ring.WriteAt(5, [16, 17]);
        ring.WriteAt(0, [11, 12, 13, 14, 15]);
        ring.Commit(7);
        byte[] all = new byte[8];
        ring.Peek(0, all);
        Assert.Equal([10, 11, 12, 13, 14, 15, 16, 17], all);
        Assert.Equal(8, ring.Free);
        Assert.Equal(7, ring.Readable.Length);
    }

    [Fact]
    public void Options_of_a_segment_are_read_until_they_make_no_sense()
    {
        byte[] segment = new byte[40];
        segment[12] = 10 << 4;
        new byte[] { 2, 4, 5, 0xB4, 1, 3, 3, 20, 4, 2, 8, 200, 3, 3, 1 }.CopyTo(segment, 20);
        Assert.True(TcpSegment.TryParse(segment, out var parsed));
        parsed.ReadOptions(out int maximum, out int shift, out bool sack);
        Assert.Equal((1460, 14, true), (maximum, shift, sack));
        segment[12] = 11 << 4;
        Assert.False(TcpSegment.TryParse(segment, out _));
        segment[12] = 4 << 4;
        Assert.False(TcpSegment.TryParse(segment, out _));
    }

    [Fact]
    public void Resolver_and_hosts_files_are_read_as_their_manual_pages_say()
    {
        var servers = HostResolver.ParseResolver(["# nameserver 1.1.1.1", "search lab", "nameserver\t192.0.2.1 ", "nameserver nonsense", "nameserver ::1"]);
        Assert.Equal(["192.0.2.1:53", "[::1]:53"], servers.Select(s => s.ToString()));
        var hosts = HostResolver.ParseHosts(["192.0.2.7 One two. # comment", "nonsense three", "::1 one", "# 192.0.2.8 four"]);
        Assert.Equal(["192.0.2.7", "::1"], hosts["one"].Select(a => a.ToString()));
        Assert.Equal(["192.0.2.7"], hosts["two"].Select(a => a.ToString()));
        Assert.Equal(2, hosts.Count);
    }

    [Fact]
    public void A_question_that_does_not_end_or_points_elsewhere_is_not_read()
    {
        byte[] query = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 3, (byte)'a', (byte)'b', (byte)'c', 0, 0, 1, 0, 1];
        Assert.True(DnsMessage.TryReadQuestion(query, out var question));
        Assert.Equal(("abc", DnsMessage.TypeA, query.Length), (question.Name, question.Type, question.End));
        for (int length = 0; length < query.Length; length++)
        {
            Assert.False(DnsMessage.TryReadQuestion(query.AsSpan(0, length), out _));
        }

        query[12] = 0xC0;
        Assert.False(DnsMessage.TryReadQuestion(query, out _));
    }
}
