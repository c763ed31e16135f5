using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Timing;

/// <summary>Which processors of the host a thread may run on. Linux only.</summary>
public static unsafe partial class ThreadAffinity
{
    // As many as the kernel can be built for (NR_CPUS, 8192), in bits of 64-bit words.
    private const int Words = 128, BitsPerWord = 64;

    /// <summary>Numbers of the processors that a thread of this process may run on, in order; 0 asks for the calling thread. Empty when they cannot be known.</summary>
    public static int[] Of(int thread)
    {
        if (!OperatingSystem.IsLinux())
        {
            return [];
        }

        ulong* mask = stackalloc ulong[Words];
        new Span<ulong>(mask, Words).Clear();
        // SAFETY: the kernel writes at most the size that it is told, which is that of the array in this frame.
        if (GetAffinity(thread, Words * sizeof(ulong), mask) < 0)
        {
            return [];
        }

        var processors = new List<int>();
        for (int i = 0; i < Words * BitsPerWord; i++)
        {
            if ((mask[i / BitsPerWord] >> (i % BitsPerWord) & 1) != 0)
            {
                processors.Add(i);
            }
        }

        return [.. processors];
    }

    /// <summary>Lets a thread of this process run on these processors only; 0 is the calling thread.</summary>
    /// <returns>0, or the error of sched_setaffinity(2): EINVAL when none of them is to be had.</returns>
    public static int Set(int thread, ReadOnlySpan<int> processors)
    {
        ulong* mask = stackalloc ulong[Words];
        new Span<ulong>(mask, Words).Clear();
        foreach (int processor in processors)
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)processor, (uint)(Words * BitsPerWord));
            mask[processor / BitsPerWord] |= 1UL << (processor % BitsPerWord);
        }

        // SAFETY: the kernel only reads the array, which lies in this frame, up to the size given.
        return SetAffinity(thread, Words * sizeof(ulong), mask) == 0 ? 0 : Marshal.GetLastPInvokeError();
    }

    [LibraryImport("libc", EntryPoint = "sched_getaffinity", SetLastError = true)]
    private static partial int GetAffinity(int thread, nuint size, ulong* mask);

    [LibraryImport("libc", EntryPoint = "sched_setaffinity", SetLastError = true)]
    private static partial int SetAffinity(int thread, nuint size, ulong* mask);
}
