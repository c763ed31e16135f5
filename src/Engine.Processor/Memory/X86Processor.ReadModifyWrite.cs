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
    /// Stores the result of a locked read-modify-write if memory still holds the old value. Memory outside plain pages (devices,
    /// operands across two pages, pages under observation) is written without a lock.
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

        WriteSlow(linear, value);
        return true;
    }
}
