using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Memory;

/// <summary>Advice to the operating system about anonymous memory.</summary>
public static partial class MemoryAdvice
{
    private const int DontNeed = 4, Remove = 9, Mergeable = 12, Unmergeable = 13, HugePage = 14, NoHugePage = 15, Cold = 20;

    /// <summary>
    /// Gives the pages back while the range stays mapped: the next access finds zeroes (on Windows zeroes or the old content).
    /// False where the operating system refuses or has no such call; the pages then stay as they are.
    /// </summary>
    /// <param name="address">First byte, a multiple of the host's page size.</param>
    /// <param name="length">Bytes, a multiple of the host's page size.</param>
    public static bool Release(nint address, nuint length) =>
        OperatingSystem.IsLinux() ? Madvise(address, length, DontNeed) == 0
        : OperatingSystem.IsWindows() && DiscardVirtualMemory(address, length) == 0;

    /// <summary>
    /// As <see cref="Release"/>, for memory that is mapped to be shared (memfd_create(2)), for all that have mapped it. Linux only.
    /// </summary>
    /// <param name="address">First byte, a multiple of the host's page size, in a mapping that may be written.</param>
    /// <param name="length">Bytes, a multiple of the host's page size.</param>
    internal static bool RemoveShared(nint address, nuint length) => OperatingSystem.IsLinux() && Madvise(address, length, Remove) == 0;

    /// <summary>
    /// Reads a byte, so that the page is there afterwards. The runtime need not wait for this thread meanwhile, as it would if managed code
    /// waited for the page.
    /// </summary>
    /// <param name="address">An address within mapped memory.</param>
    public static unsafe void Touch(nint address)
    {
        byte content;
        if (OperatingSystem.IsWindows())
        {
            MoveMemory(&content, (void*)address, 1);
        }
        else
        {
            MemoryMove(&content, (void*)address, 1);
        }
    }

    /// <summary>
    /// Asks for pages of the smallest size only, so that giving back one page gives back exactly that. False where the operating
    /// system has no huge pages of its own accord; there is then nothing to avoid.
    /// </summary>
    /// <param name="address">First byte, a multiple of the host's page size.</param>
    /// <param name="length">Bytes, a multiple of the host's page size.</param>
    public static bool AvoidHugePages(nint address, nuint length) =>
        OperatingSystem.IsLinux() && Madvise(address, length, NoHugePage) == 0;

    /// <summary>
    /// Lets the kernel merge equal pages with those of other ranges (KSM), or takes back what it merged: each page is a page of its own then.
    /// </summary>
    /// <param name="address">First byte, a multiple of the host's page size.</param>
    /// <param name="length">Bytes, a multiple of the host's page size.</param>
    /// <param name="allowed">Whether it may.</param>
    /// <returns>False where the kernel has no such thing, or has no memory to take pages apart with.</returns>
    public static bool AllowMerging(nint address, nuint length, bool allowed)
    {
        if (!OperatingSystem.IsLinux())
        {
            return false;
        }

        int result;
        do
        {
            result = MadviseWithError(address, length, allowed ? Mergeable : Unmergeable);
        }
        while (result != 0 && Marshal.GetLastPInvokeError() == Posix.Errno.EINTR);
        return result == 0;
    }

    /// <summary>Lets the operating system use huge pages, at once where nothing is yet and later elsewhere. False where it has none.</summary>
    /// <param name="address">First byte, a multiple of the host's page size.</param>
    /// <param name="length">Bytes, a multiple of the host's page size.</param>
    public static bool AllowHugePages(nint address, nuint length) =>
        OperatingSystem.IsLinux() && Madvise(address, length, HugePage) == 0;

    /// <summary>
    /// Breaks up the huge page that a page is in, if it is in one. Pages given back one by one stay with the process as long as there is
    /// anything left of their huge page: the kernel unmaps them, and frees nothing until it runs out of memory.
    /// </summary>
    /// <remarks>Advice about a part of a huge page has the kernel break it up (madvise_cold_or_pageout_pte_range); Linux 5.4 and later.</remarks>
    /// <param name="address">The page, a multiple of the host's page size.</param>
    /// <param name="length">Bytes, a multiple of the host's page size and less than a huge page.</param>
    public static void BreakHugePage(nint address, nuint length)
    {
        if (OperatingSystem.IsLinux())
        {
            _ = Madvise(address, length, Cold);
        }
    }

    /// <summary>Whether a page given back surely reads as zeroes.</summary>
    public static bool ReleasedReadsZero => OperatingSystem.IsLinux();

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int Madvise(nint address, nuint length, int advice);

    [LibraryImport("libc", EntryPoint = "madvise", SetLastError = true)]
    private static partial int MadviseWithError(nint address, nuint length, int advice);

    [LibraryImport("libc", EntryPoint = "memmove")]
    private static unsafe partial nint MemoryMove(void* to, void* from, nuint length);

    [LibraryImport("ntdll", EntryPoint = "RtlMoveMemory")]
    private static unsafe partial void MoveMemory(void* to, void* from, nuint length);

    [LibraryImport("kernel32", EntryPoint = "DiscardVirtualMemory")]
    private static partial uint DiscardVirtualMemory(nint address, nuint length);
}
