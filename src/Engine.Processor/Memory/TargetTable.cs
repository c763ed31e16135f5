namespace Hypervisor.Engine.Processor;

/// <summary>
/// Where translated code goes on at an address that was not known when it was translated: for each translation set a table of pairs of
/// the negated linear address and the host's code address, and another one for 32-bit code. The index is the sum of the target's two lowest
/// 16-bit parts: the starts of functions are alike in their low bits.
/// </summary>
internal sealed unsafe class TargetTable(byte* table)
{
    /// <summary>Bytes of a processor's tables; pages that were not touched cost nothing.</summary>
    public const int Bytes = Tables * TableBytes;

    /// <summary>How many tables there are: those of 64-bit code, then those of 32-bit code.</summary>
    public const int Tables = 2 * TranslationBuffer.Sets;

    /// <summary>Bytes of one table.</summary>
    public const int TableBytes = Entries * 16;

    private const int Entries = 1 << 16;

    /// <summary>How far the address is rotated that is added to itself.</summary>
    public const int RotatedBits = 16;
    private const int LoggedEntries = 1 << 12;

    // An address of all ones has another index than 0 (FFFEh): entry 0 must not match address 0, which an empty one would.
    private const ulong EmptyFirst = 1;

    private readonly ushort[] _entered = new ushort[LoggedEntries];
    private int _count;

    private ulong* Table => (ulong*)table;

    /// <summary>Makes an address known.</summary>
    public void Enter(ulong linear, byte* code)
    {
        int entry = IndexOf(linear);
        Table[2 * entry] = 0 - linear;
        Table[(2 * entry) + 1] = (ulong)code;
        if (_count < LoggedEntries)
        {
            _entered[_count] = (ushort)entry;
        }

        _count = Math.Min(_count + 1, LoggedEntries + 1);
    }

    /// <summary>The number of a set's table.</summary>
    public static int Number(int set, bool is64Bit) => is64Bit ? set : set + TranslationBuffer.Sets;

    /// <summary>The code at an address, or null.</summary>
    public byte* Find(ulong linear)
    {
        int entry = IndexOf(linear);
        return Table[2 * entry] + linear == 0 ? (byte*)Table[(2 * entry) + 1] : null;
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        if (_count > LoggedEntries)
        {
            new Span<byte>(table, TableBytes).Clear();
        }
        else
        {
            foreach (ushort entry in _entered.AsSpan(0, _count))
            {
                Remove(entry);
            }
        }

        Table[0] = EmptyFirst;
        _count = 0;
    }

    /// <summary>Forgets the addresses of a linear page.</summary>
    public void RemovePage(ulong linear)
    {
        if (_count > LoggedEntries)
        {
            Clear();
            return;
        }

        foreach (ushort entry in _entered.AsSpan(0, _count))
        {
            if (((0 - Table[2 * entry]) ^ linear) >> TranslationBuffer.PageBits == 0)
            {
                Remove(entry);
            }
        }
    }

    /// <summary>Forgets an address.</summary>
    public void Remove(ulong linear)
    {
        if (Find(linear) != null)
        {
            Remove(IndexOf(linear));
        }
    }

    private static int IndexOf(ulong linear) => (int)((linear + (linear >> RotatedBits)) & (Entries - 1));

    private void Remove(int entry)
    {
        Table[2 * entry] = entry == 0 ? EmptyFirst : 0;
        Table[(2 * entry) + 1] = 0;
    }
}
