namespace Hypervisor.Engine.Processor;

// Runs of memory for string instructions.
public sealed unsafe partial class X86Processor
{
    /// <summary>
    /// Looks for a run of elements that starts at an offset, lies in one page of plain memory and within its segment, going
    /// upwards; shortens the count to it. False when the elements must go one by one. Raises what the first element's access would.
    /// The address is good until the next safe point: after another such call only if <see cref="SafePointCount"/> is the same.
    /// </summary>
    internal bool TrySpan(SegmentName segment, ulong offset, ulong mask, AccessKind kind, ref ulong count, int size, out byte* host)
    {
        ulong linear = SegmentedAddress(segment, offset, (uint)size, kind);
        ulong room = (4096 - (linear & PageMask)) / (ulong)size;
        ulong limited = Math.Min(count, room);
        host = null;
        if (!_is64Bit)
        {
            ref SegmentState state = ref State->Segments[(int)segment];
            bool down = (state.Attributes & (SegmentState.Code | SegmentState.ExpandDown)) == SegmentState.ExpandDown;
            ulong last = Math.Min(mask, state.Limit);
            if (down || last < offset + (ulong)size - 1)
            {
                return false;
            }

            limited = Math.Min(limited, (last - offset + 1) / (ulong)size);
        }

        if (limited == 0)
        {
            return false;
        }

        ulong* entry = State->Tlb + ((linear >> 12) & TranslationBuffer.IndexMask);
        int tag = kind == AccessKind.Write ? TranslationBuffer.WriteTags : 0;
        if (linear + entry[tag] >= TranslationBuffer.PageBytes)
        {
            Translate(linear, kind);
            if (linear + entry[tag] >= TranslationBuffer.PageBytes)
            {
                return false;
            }
        }

        host = (byte*)(linear + entry[TranslationBuffer.Addends]);
        count = limited;
        return true;
    }
}
