namespace Hypervisor.Tests.Unit.Support;

/// <summary>What code allocates on the managed heap.</summary>
internal static class Allocations
{
    private const int Passes = 20;

    /// <summary>
    /// The least that one of several passes allocates on this thread, bytes. The first allocates what it needs for ever, and the runtime itself
    /// allocates now and then for its own purposes, such as compiling a method again; what the code needs every time is in every pass.
    /// </summary>
    public static long Least(Action pass)
    {
        long least = long.MaxValue;
        for (int i = 0; i < Passes && least > 0; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            pass();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }
}
