using System.Numerics;
using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

// Read-modify-write operands. The caller reads through the pointer or the slow way, computes, and finishes with the same.
public sealed unsafe partial class X86Processor
{
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
            Write(linear, value);
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

    [MethodImpl(MethodImplOptions.NoInlining)]
    private T BeginModifySlow<T>(ulong linear, out byte* host) where T : unmanaged
    {
        ProbeRange(linear, sizeof(T), AccessKind.Write);
        host = WritableHost(linear, sizeof(T));
        return host != null ? *(T*)host : ReadSlow<T>(linear);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool FinishLockedSlow<T>(ulong linear, T value, T old) where T : unmanaged, IBinaryInteger<T>
    {
        // A page under observation is still plain memory: exchange there, then tell.
        ulong physical = Translate(linear, AccessKind.Write);
        byte* page = PhysicalPage(physical, out bool writable);
        if (page != null && writable && (linear & PageMask) + (ulong)sizeof(T) <= 4096)
        {
            if (_mustInterpret)
            {
                CheckAccess(linear, sizeof(T), write: true);
            }

            if (!Width.Exchange(page + (physical & PageMask), value, old))
            {
                return false;
            }

            NoteStore(physical >> 12);
            return true;
        }

        if ((linear & PageMask) + (ulong)sizeof(T) <= 4096)
        {
            WriteSlow(linear, value);
            return true;
        }

        lock (_busLock)
        {
            // Nothing here raises: both pages were probed for writing.
            if (ReadSlow<T>(linear) != old)
            {
                return false;
            }

            WriteSlow(linear, value);
            return true;
        }
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
        byte* page = PhysicalPage(physical, out bool writable);
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
