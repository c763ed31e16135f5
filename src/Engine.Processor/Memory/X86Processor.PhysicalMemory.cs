using System.Runtime.CompilerServices;

namespace Hypervisor.Engine.Processor;

// Guest-physical memory, and the calls to the memory bus. Every one of these but the first question of PhysicalPage may be a safe
// point: host addresses that were found before are not used after it.
public sealed unsafe partial class X86Processor
{
    /// <summary>
    /// The host address of the page of a guest-physical address, null where there is no memory. Waits for one that is absent; it is
    /// good until the next safe point.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte* PhysicalPage(ulong physical, bool forWriting, out bool writable)
    {
        byte* page = _memory.TryGetPage(physical & ~PageMask, forWriting, out var presence);
        if (presence == PagePresence.Absent)
        {
            page = AbsentPage(physical & ~PageMask, forWriting, out presence);
        }

        writable = presence == PagePresence.Writable;
        return page;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private byte* AbsentPage(ulong address, bool forWriting, out PagePresence presence)
    {
        byte* page;
        do
        {
            bool was = LeaveGuest();
            _memory.MakePresent(address, forWriting);
            ReturnToGuest(was);
            page = _memory.TryGetPage(address, forWriting, out presence);
        }
        while (presence == PagePresence.Absent);

        return page;
    }

    private ulong ReadDevice(ulong physical, int size)
    {
        bool was = LeaveGuest();
        ulong value = _memory.ReadMmio(physical, size);
        ReturnToGuest(was);
        return value;
    }

    private void WriteDevice(ulong physical, int size, ulong value)
    {
        bool was = LeaveGuest();
        _memory.WriteMmio(physical, size, value);
        ReturnToGuest(was);
    }

    private void ReadPhysical(ulong physical, byte* destination, int size)
    {
        byte* page = PhysicalPage(physical, forWriting: false, out _);
        if (page != null)
        {
            Copy(destination, page + (physical & PageMask), size);
            return;
        }

        for (int at = 0; at < size;)
        {
            int part = MmioPart(physical + (ulong)at, size - at);
            ulong value = ReadDevice(physical + (ulong)at, part);
            Copy(destination + at, (byte*)&value, part);
            at += part;
        }
    }

    private void WritePhysical(ulong physical, byte* source, int size)
    {
        byte* page = PhysicalPage(physical, forWriting: true, out bool writable);
        if (page != null && writable)
        {
            Copy(page + (physical & PageMask), source, size);
            NoteStore(physical >> 12);
            return;
        }

        for (int at = 0; at < size;)
        {
            int part = MmioPart(physical + (ulong)at, size - at);
            ulong value = 0;
            Copy((byte*)&value, source + at, part);
            WriteDevice(physical + (ulong)at, part, value);
            at += part;
        }

        // The register written may have been the local APIC's EOI or task priority.
        SetAttention(Attention.Interrupt);
    }

    // Device registers are accessed in one piece where the access is 1, 2, 4 or 8 bytes long, however it is aligned.
    private static int MmioPart(ulong address, int remaining) =>
        remaining >= 8 ? 8 : remaining is 1 or 2 or 4 ? remaining : (address & 1) != 0 ? 1 : remaining >= 4 ? 4 : 2;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Copy(byte* to, byte* from, int size)
    {
        // One access for the natural sizes, so that other processors see them whole.
        switch (size)
        {
            case 1: *to = *from; break;
            case 2: *(ushort*)to = *(ushort*)from; break;
            case 4: *(uint*)to = *(uint*)from; break;
            case 8: *(ulong*)to = *(ulong*)from; break;
            default: Unsafe.CopyBlockUnaligned(to, from, (uint)size); break;
        }
    }

    // A store went to a page of memory: tell whoever decoded code from it or records dirty pages.
    private void NoteStore(ulong page)
    {
        if (page >= _memory.PageAttributeCount)
        {
            return;
        }

        // The store is in memory before the attributes are read: whoever sets one then sees what was stored, or is seen here.
        Interlocked.MemoryBarrier();
        var attributes = (PageAttributes)Volatile.Read(ref _memory.PageAttributeTable[page]);
        if ((attributes & (PageAttributes.Code | PageAttributes.TrackWrites)) == 0)
        {
            return;
        }

        bool was = LeaveGuest();
        if ((attributes & PageAttributes.TrackWrites) != 0)
        {
            _memory.TrackedPageWritten(page);
        }

        if ((attributes & PageAttributes.Code) != 0)
        {
            _memory.CodePageWritten(page);
        }

        ReturnToGuest(was);
    }
}
