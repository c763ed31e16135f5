using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

// Addresses of operands, and loads and stores through the translation buffer. Every helper either does the whole access or raises
// a guest exception before anything changed.
public sealed unsafe partial class X86Processor
{
    internal const ulong PageMask = 0xFFF;

    /// <summary>The value of a general register operand; T of 1, 2, 4 or 8 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ref T Register<T>(byte offset) where T : unmanaged => ref *(T*)((byte*)State + offset);

    /// <summary>The memory operand's offset before truncation to the address size.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong RawOffset(DecodedInstruction* i)
    {
        byte* s = (byte*)State;
        return *(ulong*)(s + i->Base) + (*(ulong*)(s + i->Index) << i->Scale) + (ulong)i->Displacement;
    }

    /// <summary>The memory operand's offset within its segment, truncated to the address size (LEA).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong EffectiveOffset(DecodedInstruction* i)
    {
        ulong offset = RawOffset(i);
        return (i->Flags & (InstructionFlags.Address32 | InstructionFlags.Address16)) == 0 ? offset
            : (i->Flags & InstructionFlags.Address32) != 0 ? (uint)offset : (ushort)offset;
    }

    /// <summary>The linear address of the memory operand, its segment's limit and rights checked for this access.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong Address(DecodedInstruction* i, int size, AccessKind kind)
    {
        ulong offset = RawOffset(i);
        return (i->Flags & InstructionFlags.SimpleAddress) != 0 ? offset : SegmentedAddress(i, EffectiveOffset(i), (uint)size, kind);
    }

    private ulong SegmentedAddress(DecodedInstruction* i, ulong offset, uint size, AccessKind kind) =>
        SegmentedAddress((SegmentName)i->Segment, offset, size, kind);

    /// <summary>The linear address of an offset in a segment, limit and rights checked outside 64-bit mode.</summary>
    internal ulong SegmentedAddress(SegmentName name, ulong offset, uint size, AccessKind kind)
    {
        ref SegmentState segment = ref State->Segments[(int)name];
        if (Is64Bit)
        {
            return name >= SegmentName.Fs ? offset + segment.Base : offset;
        }

        uint attributes = segment.Attributes;
        if (!IsRealOrVirtual8086)
        {
            bool code = (attributes & SegmentState.Code) != 0;
            bool bad = (attributes & (SegmentState.Unusable | SegmentState.Present)) != SegmentState.Present
                || (kind == AccessKind.Write ? code || (attributes & SegmentState.Writable) == 0
                    : kind == AccessKind.Read && code && (attributes & SegmentState.Writable) == 0);
            if (bad)
            {
                RaiseSegmentLimit(name);
            }
        }

        ulong last = offset + size - 1;
        if ((attributes & (SegmentState.Code | SegmentState.ExpandDown)) == SegmentState.ExpandDown)
        {
            ulong top = (attributes & SegmentState.Big) != 0 ? 0xFFFF_FFFF : 0xFFFFul;
            if (offset <= segment.Limit || last > top)
            {
                RaiseSegmentLimit(name);
            }
        }
        else if (last > segment.Limit)
        {
            RaiseSegmentLimit(name);
        }

        return (uint)(segment.Base + offset);
    }

    [DoesNotReturn]
    private void RaiseSegmentLimit(SegmentName name) =>
        Raise(name == SegmentName.Ss ? Vector.StackFault : Vector.GeneralProtection, 0);

    /// <summary>Loads from a linear address. T of 1, 2, 4, 8 or 16 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal T Read<T>(ulong linear) where T : unmanaged
    {
        ulong* entry = State->Tlb + ((linear >> 12) & TranslationBuffer.IndexMask);
        // With the last byte's offset: an access across the end of a page misses.
        if (linear + *entry + (ulong)(sizeof(T) - 1) < TranslationBuffer.PageBytes)
        {
            return *(T*)(linear + entry[TranslationBuffer.Addends]);
        }

        return ReadSlow<T>(linear);
    }

    /// <summary>Stores to a linear address. T of 1, 2, 4, 8 or 16 bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void Write<T>(ulong linear, T value) where T : unmanaged
    {
        byte* host = WritableHost(linear, sizeof(T));
        if (host != null)
        {
            *(T*)host = value;
        }
        else
        {
            WriteSlow(linear, value);
        }
    }

    /// <summary>
    /// The host address of plain, writable memory that holds the whole range, or null when the slow way must be taken (which then
    /// raises whatever is due).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal byte* WritableHost(ulong linear, int size)
    {
        ulong* entry = State->Tlb + ((linear >> 12) & TranslationBuffer.IndexMask);
        return linear + entry[TranslationBuffer.WriteTags] + (ulong)(size - 1) < TranslationBuffer.PageBytes
            ? (byte*)(linear + entry[TranslationBuffer.Addends])
            : null;
    }

    /// <summary>Loads the memory operand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal T ReadOperand<T>(DecodedInstruction* i) where T : unmanaged => Read<T>(Address(i, sizeof(T), AccessKind.Read));

    /// <summary>Stores the memory operand.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void WriteOperand<T>(DecodedInstruction* i, T value) where T : unmanaged =>
        Write(Address(i, sizeof(T), AccessKind.Write), value);

    /// <summary>Copies memory out, up to a page long.</summary>
    internal void ReadBytes(ulong linear, byte* destination, int count)
    {
        CheckImageAlignment(linear, count);
        ProbeRange(linear, count, AccessKind.Read);
        _copiesBytes = true;
        int at = 0;
        for (; at + 8 <= count; at += 8)
        {
            *(ulong*)(destination + at) = Read<ulong>(linear + (ulong)at);
        }

        for (; at < count; at++)
        {
            destination[at] = Read<byte>(linear + (ulong)at);
        }

        _copiesBytes = false;
    }

    /// <summary>Copies into memory, up to a page long; raises before the first byte is stored.</summary>
    internal void WriteBytes(ulong linear, byte* source, int count)
    {
        CheckImageAlignment(linear, count);
        ProbeRange(linear, count, AccessKind.Write);
        _copiesBytes = true;
        int at = 0;
        for (; at + 8 <= count; at += 8)
        {
            Write(linear + (ulong)at, *(ulong*)(source + at));
        }

        for (; at < count; at++)
        {
            Write(linear + (ulong)at, source[at]);
        }

        _copiesBytes = false;
    }

    /// <summary>Raises what an access to the range would raise; up to a page long.</summary>
    internal void ProbeRange(ulong linear, int count, AccessKind kind)
    {
        Translate(linear, kind);
        ulong last = linear + (ulong)count - 1;
        if (((linear ^ last) & ~PageMask) != 0)
        {
            // CR2 shows the first byte of the second page.
            Translate(last & ~PageMask, kind);
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private T ReadSlow<T>(ulong linear) where T : unmanaged
    {
        T value;
        ReadSlow(linear, (byte*)&value, sizeof(T));
        return value;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void WriteSlow<T>(ulong linear, T value) where T : unmanaged => WriteSlow(linear, (byte*)&value, sizeof(T));

    private void ReadSlow(ulong linear, byte* destination, int size)
    {
        if (_mustInterpret)
        {
            CheckAccess(linear, size, write: false);
        }

        int first = (int)Math.Min((ulong)size, 4096 - (linear & PageMask));
        ulong next = linear + (ulong)first;
        if (first < size && IsTranslated(linear, AccessKind.Read) && IsTranslated(next, AccessKind.Read))
        {
            Unsafe.CopyBlockUnaligned(destination, TranslatedHost(linear), (uint)first);
            Unsafe.CopyBlockUnaligned(destination + first, TranslatedHost(next), (uint)(size - first));
            return;
        }

        ulong physical = Translate(linear, AccessKind.Read);
        if (first == size)
        {
            ReadPhysical(physical, destination, size);
            return;
        }

        ulong second = Translate(next, AccessKind.Read);
        ReadPhysical(physical, destination, first);
        ReadPhysical(second, destination + first, size - first);
    }

    private void WriteSlow(ulong linear, byte* source, int size)
    {
        if (_mustInterpret)
        {
            CheckAccess(linear, size, write: true);
        }

        int first = (int)Math.Min((ulong)size, 4096 - (linear & PageMask));
        ulong next = linear + (ulong)first;
        if (first < size && IsTranslated(linear, AccessKind.Write) && IsTranslated(next, AccessKind.Write))
        {
            Unsafe.CopyBlockUnaligned(TranslatedHost(linear), source, (uint)first);
            Unsafe.CopyBlockUnaligned(TranslatedHost(next), source + first, (uint)(size - first));
            return;
        }

        ulong physical = Translate(linear, AccessKind.Write);
        if (first == size)
        {
            WritePhysical(physical, source, size);
            return;
        }

        ulong second = Translate(next, AccessKind.Write);
        WritePhysical(physical, source, first);
        WritePhysical(second, source + first, size - first);
    }
}
