using System.Buffers.Binary;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Boot;

/// <summary>
/// The program headers of an x86 ELF file, 32 or 64 bits wide (System V ABI, "Program Loading"). All of it is checked before anything is
/// used; a kernel is loaded at its physical addresses.
/// </summary>
internal sealed class ElfFile
{
    public readonly record struct Segment(uint Type, ulong Offset, ulong VirtualAddress, ulong PhysicalAddress, ulong FileBytes, ulong MemoryBytes);

    private const byte Class32 = 1, Class64 = 2, LittleEndian = 1;
    private const ushort Machine386 = 3, MachineX64 = 62;
    private const uint Load = 1, Note = 4;
    private const int MaxHeaders = 1024;
    private const ulong MaxNoteBytes = 1 << 20;

    private readonly ImageFile _file;

    private ElfFile(ImageFile file, ulong entry, IReadOnlyList<Segment> segments)
    {
        _file = file;
        Entry = entry;
        Segments = segments;
    }

    /// <summary>Entry point from the header, a virtual address.</summary>
    public ulong Entry { get; }

    public IReadOnlyList<Segment> Segments { get; }

    /// <summary>Recognizes an ELF file for this processor; null for anything else.</summary>
    /// <exception cref="MachineException">It is one, but damaged.</exception>
    public static ElfFile? TryOpen(ImageFile file, ReadOnlySpan<byte> start)
    {
        if (start.Length < 52 || !start.StartsWith("\u007FELF"u8) || start[4] is not (Class32 or Class64) || start[5] != LittleEndian
            || BinaryPrimitives.ReadUInt16LittleEndian(start[18..]) is not (Machine386 or MachineX64))
        {
            return null;
        }

        bool wide = start[4] == Class64;
        if (wide && start.Length < 64)
        {
            throw Damaged(file, "ends within its ELF header");
        }

        ulong entry = wide ? UInt64(start, 24) : UInt32(start, 24);
        ulong tableOffset = wide ? UInt64(start, 32) : UInt32(start, 28);
        int entryBytes = BinaryPrimitives.ReadUInt16LittleEndian(start[(wide ? 54 : 42)..]);
        int count = BinaryPrimitives.ReadUInt16LittleEndian(start[(wide ? 56 : 44)..]);
        if (count is 0 or > MaxHeaders || entryBytes != (wide ? 56 : 32))
        {
            throw Damaged(file, $"has {count} program headers of {entryBytes} bytes and cannot be loaded");
        }

        byte[] table = new byte[count * entryBytes];
        if (tableOffset > (ulong)file.Length || (ulong)table.Length > (ulong)file.Length - tableOffset)
        {
            throw Damaged(file, "is truncated: its program headers lie beyond its end");
        }

        file.ReadExactly((long)tableOffset, table);
        var segments = new Segment[count];
        for (int i = 0; i < count; i++)
        {
            var header = table.AsSpan(i * entryBytes, entryBytes);
            segments[i] = wide
                ? new(UInt32(header, 0), UInt64(header, 8), UInt64(header, 16), UInt64(header, 24), UInt64(header, 32), UInt64(header, 40))
                : new(UInt32(header, 0), UInt32(header, 4), UInt32(header, 8), UInt32(header, 12), UInt32(header, 16), UInt32(header, 20));
            Validate(file, segments[i]);
        }

        return new ElfFile(file, entry, segments);
    }

    /// <summary>Finds a note by owner and type; null when there is none. Returns its descriptor.</summary>
    public byte[]? FindNote(ReadOnlySpan<byte> owner, uint type)
    {
        foreach (var segment in Segments)
        {
            if (segment.Type != Note || segment.FileBytes > MaxNoteBytes)
            {
                continue;
            }

            byte[] notes = new byte[segment.FileBytes];
            _file.ReadExactly((long)segment.Offset, notes);
            if (FindNote(notes, owner, type) is { } found)
            {
                return found;
            }
        }

        return null;
    }

    /// <summary>Loads all segments at their physical addresses and zeroes what the file does not fill.</summary>
    /// <returns>First address after the highest segment.</returns>
    public ulong LoadSegments(GuestMemory memory, MemoryLayout layout)
    {
        ulong end = 0;
        foreach (var segment in Segments)
        {
            if (segment.Type != Load || segment.MemoryBytes == 0)
            {
                continue;
            }

            ulong first = segment.PhysicalAddress, last = first + segment.MemoryBytes;
            if (!KernelSpace.IsFree(layout, first, segment.MemoryBytes))
            {
                throw KernelSpace.NoRoom(_file.Path, layout, first, last);
            }

            _file.LoadInto(memory, first, (long)segment.Offset, segment.FileBytes);
            KernelSpace.Clear(memory, first + segment.FileBytes, segment.MemoryBytes - segment.FileBytes);
            end = Math.Max(end, last);
        }

        return end != 0 ? end : throw Damaged(_file, "has no segment to load");
    }

    /// <summary>The physical address that a virtual one is loaded at; the value itself when it lies in no segment.</summary>
    public ulong ToPhysical(ulong address)
    {
        foreach (var segment in Segments)
        {
            if (segment.Type == Load && address >= segment.VirtualAddress && address - segment.VirtualAddress < segment.MemoryBytes)
            {
                return segment.PhysicalAddress + (address - segment.VirtualAddress);
            }
        }

        return address;
    }

    private static byte[]? FindNote(ReadOnlySpan<byte> notes, ReadOnlySpan<byte> owner, uint type)
    {
        while (notes.Length >= 12)
        {
            ulong nameBytes = UInt32(notes, 0), descriptorBytes = UInt32(notes, 4);
            ulong descriptor = 12 + Align4(nameBytes);
            if (descriptor + descriptorBytes > (ulong)notes.Length)
            {
                return null;
            }

            if (UInt32(notes, 8) == type && notes.Slice(12, (int)nameBytes).TrimEnd((byte)0).SequenceEqual(owner))
            {
                return notes.Slice((int)descriptor, (int)descriptorBytes).ToArray();
            }

            ulong next = descriptor + Align4(descriptorBytes);
            notes = next < (ulong)notes.Length ? notes[(int)next..] : [];
        }

        return null;
    }

    private static void Validate(ImageFile file, Segment segment)
    {
        if (segment.Type is not (Load or Note))
        {
            return;
        }

        if (segment.Offset > (ulong)file.Length || segment.FileBytes > (ulong)file.Length - segment.Offset)
        {
            throw Damaged(file, $"is truncated: it has {file.Length} bytes, and a segment of {segment.FileBytes} bytes begins at {segment.Offset}");
        }

        if (segment.Type == Load && (segment.FileBytes > segment.MemoryBytes || segment.PhysicalAddress + segment.MemoryBytes < segment.PhysicalAddress))
        {
            throw Damaged(file, $"has a segment with impossible sizes at {segment.PhysicalAddress:x}h");
        }
    }

    private static ulong Align4(ulong value) => (value + 3) & ~3ul;

    private static uint UInt32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);

    private static ulong UInt64(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[offset..]);

    private static MachineException Damaged(ImageFile file, string what) => new($"The kernel '{file.Path}' {what}. Fetch or build it again.");
}
