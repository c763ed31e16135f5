using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace Hypervisor.Engine.Native.Memory;

/// <summary>Which pages of this process there are (proc_pid_pagemap(5)). Linux.</summary>
public sealed class PageMap : IDisposable
{
    private const int EntryBytes = sizeof(ulong), Chunk = 8192;
    private const ulong Present = 1ul << 63, Swapped = 1ul << 62, OfFile = 1ul << 61, MappedOnce = 1ul << 56;

    private readonly SafeFileHandle _file = File.OpenHandle("/proc/self/pagemap");
    private readonly byte[] _entries = new byte[Chunk * EntryBytes];

    /// <summary>Tells of each page of a range that it has content of its own, in memory or swapped by the host.</summary>
    /// <param name="address">Host address, a multiple of 4096.</param>
    /// <param name="pages">How many pages.</param>
    /// <param name="found">Takes the number of such a page, counted from the first of the range.</param>
    public void Find(nint address, long pages, Action<long> found)
    {
        for (long page = 0; page < pages;)
        {
            int read = Read(address, page, pages);
            for (int i = 0; i < read; i++)
            {
                if ((BinaryPrimitives.ReadUInt64LittleEndian(_entries.AsSpan(i * EntryBytes)) & (Present | Swapped)) != 0)
                {
                    found(page + i);
                }
            }

            page += read;
        }
    }

    /// <summary>
    /// Counts the pages of a range of anonymous memory whose frame is mapped elsewhere too: the kernel merged them with equal ones, or they
    /// are its page of zeroes because they were only ever read.
    /// </summary>
    /// <param name="address">Host address, a multiple of 4096.</param>
    /// <param name="pages">How many pages.</param>
    public long CountShared(nint address, long pages)
    {
        long count = 0;
        for (long page = 0; page < pages;)
        {
            int read = Read(address, page, pages);
            for (int i = 0; i < read; i++)
            {
                count += IsShared(BinaryPrimitives.ReadUInt64LittleEndian(_entries.AsSpan(i * EntryBytes))) ? 1 : 0;
            }

            page += read;
        }

        return count;
    }

    /// <summary>Whether the page at a host address is such a page; see <see cref="CountShared"/>. Thread-safe.</summary>
    public bool IsShared(nint address)
    {
        Span<byte> entry = stackalloc byte[EntryBytes];
        return RandomAccess.Read(_file, entry, ((long)address >> 12) * EntryBytes) == EntryBytes && IsShared(BinaryPrimitives.ReadUInt64LittleEndian(entry));
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static bool IsShared(ulong entry) => (entry & (Present | OfFile | MappedOnce)) == Present;

    private int Read(nint address, long page, long pages)
    {
        int wanted = (int)Math.Min(Chunk, pages - page);
        int read = RandomAccess.Read(_file, _entries.AsSpan(0, wanted * EntryBytes), (((long)address >> 12) + page) * EntryBytes) / EntryBytes;
        return read > 0 ? read : throw new IOException("The map of this process's pages cannot be read.");
    }
}
