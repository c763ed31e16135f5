using System.Globalization;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>What Linux says of this process's memory: advice to mappings, pages that are there, and pages that are parts of larger ones.</summary>
internal static class ProcessMappings
{
    private const int PageSize = 4096, EntryBytes = 8, CompoundHead = 15, CompoundTail = 16;
    private const ulong Present = 1ul << 63, WriteProtected = 1ul << 57, FrameMask = (1ul << 55) - 1;

    /// <summary>Whether the kernel may make large pages of memory when it is asked to (transparent_hugepage/enabled).</summary>
    public static bool HasLargePages =>
        File.Exists("/sys/kernel/mm/transparent_hugepage/enabled") && !File.ReadAllText("/sys/kernel/mm/transparent_hugepage/enabled").Contains("[never]", StringComparison.Ordinal);

    /// <summary>The flags of the mapping at an address (VmFlags of proc_pid_smaps(5)): "hg" large pages wanted, "nh" not wanted.</summary>
    public static string[] FlagsOf(nint address)
    {
        bool found = false;
        foreach (string line in File.ReadLines("/proc/self/smaps"))
        {
            if (!char.IsAsciiLetterUpper(line[0]))
            {
                string[] ends = line.Split(' ')[0].Split('-');
                found = (ulong)address >= ulong.Parse(ends[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture)
                    && (ulong)address < ulong.Parse(ends[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            }
            else if (found && line.StartsWith("VmFlags:", StringComparison.Ordinal))
            {
                return line["VmFlags:".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            }
        }

        return [];
    }

    /// <summary>Numbers of the pages of a range that are there.</summary>
    public static HashSet<int> PresentIn(nint address, int pages)
    {
        using var map = new PageMap();
        var found = new HashSet<int>();
        map.Find(address, pages, page => found.Add((int)page));
        return found;
    }

    /// <summary>Whether a userfaultfd hears of stores to the page.</summary>
    public static bool IsProtected(nint address)
    {
        using var map = File.OpenHandle("/proc/self/pagemap");
        Span<byte> entry = stackalloc byte[EntryBytes];
        Assert.Equal(EntryBytes, RandomAccess.Read(map, entry, address / PageSize * EntryBytes));
        return (BitConverter.ToUInt64(entry) & WriteProtected) != 0;
    }

    /// <summary>How many of the pages of a range are parts of larger ones, and stay with the process as long as those do; null without the right to know (root).</summary>
    public static int? LargePartsIn(nint address, int pages)
    {
        if (!Environment.IsPrivilegedProcess || !File.Exists("/proc/kpageflags"))
        {
            return null;
        }

        using var map = File.OpenHandle("/proc/self/pagemap");
        using var flags = File.OpenHandle("/proc/kpageflags");
        int count = 0;
        Span<byte> entry = stackalloc byte[EntryBytes];
        for (int page = 0; page < pages; page++)
        {
            Assert.Equal(EntryBytes, RandomAccess.Read(map, entry, ((address / PageSize) + page) * EntryBytes));
            ulong frame = BitConverter.ToUInt64(entry);
            if ((frame & Present) == 0)
            {
                continue;
            }

            if ((frame & FrameMask) == 0 || RandomAccess.Read(flags, entry, (long)(frame & FrameMask) * EntryBytes) != EntryBytes)
            {
                return null;
            }

            count += (BitConverter.ToUInt64(entry) & ((1ul << CompoundHead) | (1ul << CompoundTail))) != 0 ? 1 : 0;
        }

        return count;
    }
}
