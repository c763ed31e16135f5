namespace Hypervisor.Tests.Unit.Support;

/// <summary>Which pages of this process are in memory, as Linux says (<c>/proc/self/pagemap</c>, proc_pid_pagemap(5)).</summary>
internal static class ResidentPages
{
    private const int PageSize = 4096, EntryBytes = 8;
    private const ulong Present = 1ul << 63;

    public static bool Contains(nint address)
    {
        using var file = File.OpenHandle("/proc/self/pagemap");
        Span<byte> entry = stackalloc byte[EntryBytes];
        int read = RandomAccess.Read(file, entry, address / PageSize * EntryBytes);
        return read == EntryBytes && (BitConverter.ToUInt64(entry) & Present) != 0;
    }
}
