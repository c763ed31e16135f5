using System.Text;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Boot;

/// <summary>
/// Where direct boot keeps what it hands to a kernel: below 640 KB, clear of the real-mode interrupt table and of the kernel, and usable
/// memory to the kernel once it has read it.
/// </summary>
internal static class BootArea
{
    public const ulong BiosServices = 0x600;
    public const ulong DescriptorTable = 0x1000;
    public const ulong StartInfo = 0x2000;
    public const ulong MemoryMap = 0x3000;
    public const ulong Modules = 0x4000;
    public const ulong ZeroPage = 0x7000;
    public const ulong StackTop = 0x8FF0;
    public const ulong PageTables = 0x9000;
    public const ulong Strings = 0x20000;
    public const ulong StringsEnd = 0x40000;

    /// <summary>End of everything above; images may be loaded from here on.</summary>
    public const ulong End = StringsEnd;

    // Selectors of the Linux boot protocol (Documentation/arch/x86/boot.rst: __BOOT_CS 10h, __BOOT_DS 18h).
    public const ushort CodeSelector = 0x10;
    public const ushort DataSelector = 0x18;
    public const ushort DescriptorTableLimit = 5 * 8 - 1;

    private const ulong PageBytes = 4096;
    private const ulong LargePageBytes = 2ul << 20;
    private const ulong Present = 1, Writable = 2, LargePage = 1 << 7;

    /// <summary>Writes a GDT with flat code and data segments of the given width.</summary>
    public static void WriteDescriptors(GuestMemory memory, EntryMode mode)
    {
        const ulong FlatCode32 = 0x00CF_9B00_0000_FFFF, FlatCode64 = 0x00AF_9B00_0000_FFFF, FlatData = 0x00CF_9300_0000_FFFF;
        Write(memory, DescriptorTable, 0);
        Write(memory, DescriptorTable + 8, 0);
        Write(memory, DescriptorTable + CodeSelector, mode == EntryMode.Long64 ? FlatCode64 : FlatCode32);
        Write(memory, DescriptorTable + DataSelector, FlatData);
        Write(memory, DescriptorTable + 0x20, 0);
    }

    /// <summary>
    /// Leaves behind what a kernel finds of a PC's BIOS that has no services: an interrupt table whose entries all lead to a handler
    /// that reports failure, and in the data area the size of memory below 1 MB. Xen asks there before it takes over.
    /// </summary>
    public static void WriteBiosArea(GuestMemory memory)
    {
        const ulong ExtendedAreaSegment = 0x40E, MemoryKilobytes = 0x413;
        const int Vectors = 256;

        // push bp; mov bp, sp; or byte [bp+6], 1 (the caller's CF); pop bp; iret
        ReadOnlySpan<byte> fails = [0x55, 0x89, 0xE5, 0x80, 0x4E, 0x06, 0x01, 0x5D, 0xCF];
        Require(memory.TryWrite(BiosServices, fails));
        for (ulong vector = 0; vector < Vectors; vector++)
        {
            Write(memory, vector * 4, (uint)BiosServices);
        }

        Write(memory, ExtendedAreaSegment, (ushort)(MemoryLayout.LowMemoryEnd >> 4));
        Write(memory, MemoryKilobytes, (ushort)(MemoryLayout.LowMemoryEnd >> 10));

        // The extended area begins with its own size in kilobytes.
        Write(memory, MemoryLayout.LowMemoryEnd, (byte)1);
    }

    /// <summary>Maps the first 4 GB onto themselves with pages of 2 MB.</summary>
    public static void WriteIdentityMap(GuestMemory memory)
    {
        const int Directories = 4, Entries = 512;
        ulong pointers = PageTables + PageBytes, directories = pointers + PageBytes;
        Span<byte> empty = stackalloc byte[(int)PageBytes];
        empty.Clear();
        Require(memory.TryWrite(PageTables, empty) && memory.TryWrite(pointers, empty));
        Write(memory, PageTables, pointers | Present | Writable);
        for (ulong i = 0; i < Directories; i++)
        {
            ulong directory = directories + i * PageBytes;
            Write(memory, pointers + i * 8, directory | Present | Writable);
            for (ulong entry = 0; entry < Entries; entry++)
            {
                Write(memory, directory + entry * 8, (i * Entries + entry) * LargePageBytes | Present | Writable | LargePage);
            }
        }
    }

    /// <summary>Writes strings, zero-terminated, one after the other; returns their addresses.</summary>
    public static ulong[] WriteStrings(GuestMemory memory, params ReadOnlySpan<string> strings)
    {
        ulong[] addresses = new ulong[strings.Length];
        ulong next = Strings;
        for (int i = 0; i < strings.Length; i++)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(strings[i]);
            if (bytes.Length + 1 > (long)(StringsEnd - next))
            {
                throw new MachineException($"The kernel command line is {bytes.Length} bytes long; {StringsEnd - next - 1} fit. Shorten it.");
            }

            addresses[i] = next;
            Require(memory.TryWrite(next, bytes) && memory.TryWrite(next + (ulong)bytes.Length, (byte)0));
            next += (ulong)bytes.Length + 1;
        }

        return addresses;
    }

    /// <summary>Writes a value into memory that every machine has.</summary>
    public static void Write<T>(GuestMemory memory, ulong address, T value) where T : unmanaged => Require(memory.TryWrite(address, value));

    /// <summary>Refuses command lines that no guest could read whole.</summary>
    public static void ValidateCommandLine(string commandLine)
    {
        if (commandLine.Contains('\0', StringComparison.Ordinal))
        {
            throw new MachineException("The kernel command line contains a zero character, at which the guest would cut it off; remove it.");
        }
    }

    private static void Require(bool written)
    {
        if (!written)
        {
            throw new InvalidOperationException("The machine has no memory below 640 KB.");
        }
    }
}
