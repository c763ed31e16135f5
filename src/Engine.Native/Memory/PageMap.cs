using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace Hypervisor.Engine.Native.Memory;

/// <summary>Which pages of this process there are (proc_pid_pagemap(5)). Linux.</summary>
public sealed class PageMap : IDisposable
{
    private const int EntryBytes = sizeof(ulong), Chunk = 8192;
    private const ulong Present = 1ul << 63, Swapped = 1ul << 62;

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
            int wanted = (int)Math.Min(Chunk, pages - page);
            int read = RandomAccess.Read(_file, _entries.AsSpan(0, wanted * EntryBytes), (((long)address >> 12) + page) * EntryBytes) / EntryBytes;
            if (read <= 0)
            {
                throw new IOException("The map of this process's pages cannot be read.");
            }

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

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
