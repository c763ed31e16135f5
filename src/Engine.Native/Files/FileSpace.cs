using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Files;

/// <summary>What a file takes on its disk, which for a sparse file is less than its length.</summary>
public static unsafe partial class FileSpace
{
    private const int AtCurrentDirectory = -100;
    private const uint WantBlocks = 0x400;

    // struct statx is 256 bytes; stx_blocks, in units of 512 bytes, lies at offset 48 (statx(2)).
    private const int StatxBytes = 256, BlocksOffset = 48, BlockBytes = 512;

    /// <summary>Bytes allocated for a file; its length where the operating system does not say.</summary>
    public static long Allocated(string path)
    {
        if (OperatingSystem.IsLinux())
        {
            byte* buffer = stackalloc byte[StatxBytes];

            // SAFETY: the kernel writes exactly one struct statx, for which the buffer is large enough.
            if (Statx(AtCurrentDirectory, path, 0, WantBlocks, buffer) == 0)
            {
                return (long)*(ulong*)(buffer + BlocksOffset) * BlockBytes;
            }
        }

        return new FileInfo(path).Length;
    }

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Statx(int directory, string path, int flags, uint mask, byte* buffer);
}
