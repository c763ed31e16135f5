using System.Numerics;
using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

// Read-modify-write operands. The caller reads through the pointer or the slow way, computes, and finishes with the same.
public sealed unsafe partial class X86Processor
{
    // Where a store that was prepared goes; the second of a pair of pages, or none.
    private ulong _modifiedFirst, _modifiedSecond;

    /// <summary>
    /// Raises what a store of up to 8 bytes would raise, and remembers where it goes, for <see cref="StorePrepared"/> in the same
    /// instruction: what happens to page tables meanwhile does not matter any more, as if the store had been made.
    /// </summary>
    internal void PrepareStore(ulong linear, int size)
    {
        _modifiedFirst = Translate(linear, AccessKind.Write);
        ulong last = linear + (ulong)size - 1;
        _modifiedSecond = ((linear ^ last) & ~PageMask) == 0 ? NoPage : Translate(last & ~PageMask, AccessKind.Write);
    }

    /// <summary>Makes the store that was prepared; does not raise anything but traps.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void StorePrepared<T>(ulong linear, T value) where T : unmanaged
    {
        if (_mustInterpret)
        {
            CheckAccess(linear, sizeof(T), write: true);
        }

        int first = _modifiedSecond == NoPage ? sizeof(T) : (int)(4096 - (linear & PageMask));
        WritePhysical(_modifiedFirst, (byte*)&value, first);
        if (first < sizeof(T))
        {
            WritePhysical(_modifiedSecond, (byte*)&value + first, sizeof(T) - first);
        }
    }

    /// <summary>
    /// Begins a read-modify-write: the value, and in <paramref name="host"/> where it lies, or null when it must be written with
    /// <see cref="FinishModify"/>'s slow way. Everything that storing could raise is raised here.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal T BeginModify<T>(ulong linear, out byte* host) where T : unmanaged
    {
        host = WritableHost(linear, sizeof(T));
        return host != null ? *(T*)host : BeginModifySlow<T>(linear, out host);
    }

    /// <summary>Stores the result of a read-modify-write.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal void FinishModify<T>(ulong linear, byte* host, T value) where T : unmanaged
    {
        if (host != null)
        {
            *(T*)host = value;
        }
        else
        {
            StorePrepared(linear, value);
        }
    }

    /// <summary>
    /// Stores the result of a locked read-modify-write if memory still holds the old value. Operands across two pages are exchanged
    /// under the machine's bus lock: whole towards each other, not towards accesses to one of the pages. Devices are just written.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal bool FinishLocked<T>(ulong linear, byte* host, T value, T old) where T : unmanaged, IBinaryInteger<T>
    {
        if (host != null)
        {
            return Width.Exchange(host, value, old);
        }

        return FinishLockedSlow(linear, value, old);
    }

    /// <summary>
    /// After an attempt of a locked instruction that found another value than it had read: whether something is pending that must not wait
    /// for more of them, since others may store there for ever. The instruction, of which nothing may show then, begins again later.
    /// </summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal bool MustBeginAgain(DecodedInstruction* i)
    {
        // Behind STI or a load of SS this instruction comes first.
        if (Volatile.Read(ref State->Attention) == 0 || _inShadow)
        {
            return false;
        }

        BeginAgain(i);
        return true;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private T BeginModifySlow<T>(ulong linear, out byte* host) where T : unmanaged
    {
        PrepareStore(linear, sizeof(T));
        host = WritableHost(linear, sizeof(T));
        if (host != null)
        {
            return *(T*)host;
        }

        if (_mustInterpret)
        {
            CheckAccess(linear, sizeof(T), write: false);
        }

        T value;
        int first = _modifiedSecond == NoPage ? sizeof(T) : (int)(4096 - (linear & PageMask));
        ReadPhysical(_modifiedFirst, (byte*)&value, first);
        if (first < sizeof(T))
        {
            ReadPhysical(_modifiedSecond, (byte*)&value + first, sizeof(T) - first);
        }

        return value;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool FinishLockedSlow<T>(ulong linear, T value, T old) where T : unmanaged, IBinaryInteger<T>
    {
        if (_mustInterpret)
        {
            CheckAccess(linear, sizeof(T), write: true);
        }

        if (_modifiedSecond != NoPage)
        {
            return ExchangeAcrossPages(&value, &old, sizeof(T));
        }

        // A page under observation is still plain memory: exchange there, then tell.
        ulong physical = _modifiedFirst;
        byte* page = PhysicalPage(physical, forWriting: true, out bool writable);
        if (page == null || !writable)
        {
            WritePhysical(physical, (byte*)&value, sizeof(T));
            return true;
        }

        if (!Width.Exchange(page + (physical & PageMask), value, old))
        {
            return false;
        }

        NoteStore(physical >> 12);
        return true;
    }

    // Both pages must be there at the same time, without a safe point in between.
    private bool ExchangeAcrossPages(void* value, void* old, int size)
    {
        byte* seen = stackalloc byte[sizeof(ulong)];
        var wanted = new ReadOnlySpan<byte>(old, size);
        int count = (int)(4096 - (_modifiedFirst & PageMask));
        uint safePoints;
        byte* first, second;
        bool writable, secondWritable;
        do
        {
            safePoints = SafePointCount;
            first = PhysicalPage(_modifiedFirst, forWriting: true, out writable);
            second = PhysicalPage(_modifiedSecond, forWriting: true, out secondWritable);
        }
        while (safePoints != SafePointCount);

        if (first == null || second == null || !writable || !secondWritable)
        {
            // Not whole where one half is a device's, and not compared: what a device says may differ each time, and the guest would ask for ever.
            WritePhysical(_modifiedFirst, (byte*)value, count);
            WritePhysical(_modifiedSecond, (byte*)value + count, size - count);
            return true;
        }

        first += _modifiedFirst & PageMask;
        lock (_busLock)
        {
            // Nothing here calls out: whoever waits for the lock is in the guest.
            Copy(seen, first, count);
            Copy(seen + count, second, size - count);
            if (!wanted.SequenceEqual(new ReadOnlySpan<byte>(seen, size)))
            {
                return false;
            }

            Copy(first, (byte*)value, count);
            Copy(second, (byte*)value + count, size - count);
        }

        NoteStore(_modifiedFirst >> 12);
        NoteStore(_modifiedSecond >> 12);
        return true;
    }

    /// <summary>
    /// CMPXCHG16B: compares 16 aligned bytes with <paramref name="expected"/>, replaces them where equal, and leaves what was there in
    /// <paramref name="expected"/>. One atomic operation of the host wherever it has one.
    /// </summary>
    internal bool CompareExchangeWide(ulong linear, ulong* expected, ulong low, ulong high)
    {
        const int bytes = 16;
        byte* host = WritableHost(linear, bytes);
        if (host != null)
        {
            return ExchangeWide(host, expected, low, high);
        }

        ulong physical = Translate(linear, AccessKind.Write);
        byte* page = PhysicalPage(physical, forWriting: true, out bool writable);
        if (page != null && writable)
        {
            if (_mustInterpret)
            {
                CheckAccess(linear, bytes, write: true);
            }

            bool equal = ExchangeWide(page + (physical & PageMask), expected, low, high);
            NoteStore(physical >> 12);
            return equal;
        }

        ulong oldLow = Read<ulong>(linear);
        ulong oldHigh = Read<ulong>(linear + sizeof(ulong));
        if (oldLow != expected[0] || oldHigh != expected[1])
        {
            (expected[0], expected[1]) = (oldLow, oldHigh);
            return false;
        }

        Write(linear, low);
        Write(linear + sizeof(ulong), high);
        return true;
    }

    private bool ExchangeWide(byte* host, ulong* expected, ulong low, ulong high)
    {
        if (WideAtomics.IsSupported)
        {
            return WideAtomics.CompareExchange((ulong*)host, expected, low, high);
        }

        // Whole towards other such instructions only; there is no more to be had from .NET itself.
        lock (_busLock)
        {
            ulong* at = (ulong*)host;
            bool equal = at[0] == expected[0] && at[1] == expected[1];
            (expected[0], expected[1]) = (at[0], at[1]);
            if (equal)
            {
                (at[0], at[1]) = (low, high);
            }

            return equal;
        }
    }
}
