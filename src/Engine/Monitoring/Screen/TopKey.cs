using System.Text;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>What kind of key was pressed.</summary>
internal enum TopKeyKind
{
    Character,
    Enter,
    Escape,
    Backspace,
    EraseLine,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    Home,
    End,
    Redraw,
    Interrupt,
}

/// <summary>A key.</summary>
/// <param name="Kind">What kind.</param>
/// <param name="Rune">The character, of <see cref="TopKeyKind.Character"/>.</param>
internal readonly record struct TopKey(TopKeyKind Kind, Rune Rune = default)
{
    public static TopKey Of(char character) => new(TopKeyKind.Character, new Rune(character));
}

/// <summary>Turns the bytes that a terminal sends into keys, also when a sequence comes in pieces.</summary>
internal sealed class TopKeyDecoder
{
    private const byte Escape = 0x1B, Delete = 0x7F, CtrlC = 0x03, CtrlH = 0x08, CtrlL = 0x0C, CtrlU = 0x15;

    // Longer ones belong to no key that is known here, or to a paste of garbage.
    private const int LongestSequence = 16;

    private readonly List<byte> _pending = [];

    /// <summary>Bytes wait for the rest of their sequence. When nothing follows, it was the Escape key: see <see cref="Flush"/>.</summary>
    public bool IsPending => _pending.Count > 0;

    /// <summary>Takes bytes and gives the keys that are complete.</summary>
    public IReadOnlyList<TopKey> Decode(ReadOnlySpan<byte> bytes)
    {
        _pending.AddRange(bytes);
        var keys = new List<TopKey>();
        int at = 0;
        while (at < _pending.Count && TryDecode(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_pending)[at..], out TopKey? key, out int length))
        {
            at += length;
            if (key is { } known)
            {
                keys.Add(known);
            }
        }

        _pending.RemoveRange(0, at);
        return keys;
    }

    /// <summary>Nothing more came: what waits is what it is.</summary>
    public IReadOnlyList<TopKey> Flush()
    {
        bool escape = _pending.Count > 0 && _pending[0] == Escape;
        _pending.Clear();
        return escape ? [new TopKey(TopKeyKind.Escape)] : [];
    }

    private static bool TryDecode(ReadOnlySpan<byte> bytes, out TopKey? key, out int length)
    {
        (key, length) = (null, 1);
        switch (bytes[0])
        {
            case Escape:
                return TryDecodeSequence(bytes, out key, out length);
            case CtrlC:
                key = new TopKey(TopKeyKind.Interrupt);
                return true;
            case (byte)'\r' or (byte)'\n':
                key = new TopKey(TopKeyKind.Enter);
                return true;
            case Delete or CtrlH:
                key = new TopKey(TopKeyKind.Backspace);
                return true;
            case CtrlL:
                key = new TopKey(TopKeyKind.Redraw);
                return true;
            case CtrlU:
                key = new TopKey(TopKeyKind.EraseLine);
                return true;
            case < 0x20:
                return true;
        }

        System.Buffers.OperationStatus status = Rune.DecodeFromUtf8(bytes, out Rune rune, out length);
        if (status == System.Buffers.OperationStatus.NeedMoreData)
        {
            return false;
        }

        key = status == System.Buffers.OperationStatus.Done ? new TopKey(TopKeyKind.Character, rune) : null;
        return true;
    }

    // CSI and SS3 sequences (ECMA-48, 5.4; xterm's cursor keys); others are swallowed whole, so that their parts are not taken as keys.
    private static bool TryDecodeSequence(ReadOnlySpan<byte> bytes, out TopKey? key, out int length)
    {
        (key, length) = (null, 0);
        if (bytes.Length == 1)
        {
            return false;
        }

        if (bytes[1] is not ((byte)'[' or (byte)'O'))
        {
            (key, length) = (new TopKey(TopKeyKind.Escape), 1);
            return true;
        }

        int end = 2;
        while (end < bytes.Length && bytes[end] is >= 0x20 and < 0x40 && end < LongestSequence)
        {
            end++;
        }

        if (end == bytes.Length)
        {
            return false;
        }

        length = end + 1;
        key = (char)bytes[end] switch
        {
            'A' => new TopKey(TopKeyKind.Up),
            'B' => new TopKey(TopKeyKind.Down),
            'C' => new TopKey(TopKeyKind.Right),
            'D' => new TopKey(TopKeyKind.Left),
            'H' => new TopKey(TopKeyKind.Home),
            'F' => new TopKey(TopKeyKind.End),
            '~' => bytes[2..end] switch
            {
                [(byte)'1'] or [(byte)'7'] => new TopKey(TopKeyKind.Home),
                [(byte)'4'] or [(byte)'8'] => new TopKey(TopKeyKind.End),
                [(byte)'5'] => new TopKey(TopKeyKind.PageUp),
                [(byte)'6'] => new TopKey(TopKeyKind.PageDown),
                _ => null,
            },
            _ => null,
        };
        return true;
    }
}
