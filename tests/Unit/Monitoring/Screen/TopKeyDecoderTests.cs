using System.Text;
using Hypervisor.Engine.Monitoring.Screen;

namespace Hypervisor.Tests.Unit.Monitoring.Screen;

public sealed class TopKeyDecoderTests
{
    private readonly TopKeyDecoder _decoder = new();

    private IReadOnlyList<TopKey> Decode(string text) => _decoder.Decode(Encoding.UTF8.GetBytes(text));

    [Fact]
    public void Characters_and_control_keys_are_told_apart()
    {
        Assert.Equal([TopKey.Of('c'), new TopKey(TopKeyKind.Character, new Rune('é')), new TopKey(TopKeyKind.Enter), new TopKey(TopKeyKind.Backspace), new TopKey(TopKeyKind.Interrupt)], Decode("cé\r\u007f\u0003"));
        Assert.Equal([TopKeyKind.Redraw, TopKeyKind.EraseLine], Decode("\f\u0001\u0015").Select(static key => key.Kind));
    }

    [Fact]
    public void Cursor_keys_come_in_either_form_and_unknown_sequences_are_swallowed_whole()
    {
        Assert.Equal(
            [TopKeyKind.Up, TopKeyKind.Down, TopKeyKind.Right, TopKeyKind.Left, TopKeyKind.PageUp, TopKeyKind.PageDown, TopKeyKind.Home, TopKeyKind.End],
            Decode("\e[A\eOB\e[1;5C\e[D\e[5~\e[6~\e[1~\e[15~\e[F").Select(static key => key.Kind));
        Assert.Equal(TopKey.Of('q'), Assert.Single(Decode("\e[200~q")));
    }

    [Fact]
    public void A_sequence_in_pieces_is_one_key_and_an_escape_that_stays_alone_is_the_escape_key()
    {
        Assert.Empty(Decode("\e"));
        Assert.True(_decoder.IsPending);
        Assert.Empty(Decode("["));
        Assert.Equal(TopKeyKind.Up, Assert.Single(Decode("A")).Kind);
        Assert.False(_decoder.IsPending);
        Assert.Empty(Decode("\e"));
        Assert.Equal(TopKeyKind.Escape, Assert.Single(_decoder.Flush()).Kind);
        Assert.Equal([TopKeyKind.Escape, TopKeyKind.Character], Decode("\ex").Select(static key => key.Kind));
    }

    [Fact]
    public void Half_a_character_waits_for_the_rest_and_broken_bytes_are_no_keys()
    {
        byte[] bytes = Encoding.UTF8.GetBytes("名");
        Assert.Empty(_decoder.Decode(bytes.AsSpan(0, 2)));
        Assert.Equal(new Rune('名'), Assert.Single(_decoder.Decode(bytes.AsSpan(2))).Rune);
        Assert.Equal(TopKey.Of('a'), Assert.Single(_decoder.Decode([0xFF, 0x80, (byte)'a'])));
    }

    [Fact]
    public void Random_bytes_never_block_the_keys_behind_them()
    {
        var random = new Random(4711);
        byte[] bytes = new byte[64];
        for (int i = 0; i < 2000; i++)
        {
            random.NextBytes(bytes);
            _decoder.Decode(bytes.AsSpan(0, random.Next(bytes.Length)));
            _decoder.Flush();
            Assert.Equal(TopKey.Of('q'), Assert.Single(Decode("q")));
        }
    }
}
