namespace Hypervisor.Engine.Memory.Policy;

/// <summary>
/// How much of a budget is to be free, and the host states that follow from what is. ESXi's numbers: minFree is 899 MB for the first
/// 28 GB and 1 % of the rest; a smaller budget keeps free the same part, 3.1 %.
/// </summary>
internal static class FreeMemoryThresholds
{
    private const long Megabyte = 1 << 20, FirstBytes = 28L << 30, FreeOfFirst = 899 * Megabyte, LeastFree = 2 * Megabyte;
    private const int RestDivisor = 100;
    private const int Percent = 100;

    /// <summary>Free memory, % of minFree, below which a state is entered; by state.</summary>
    private static readonly int[] EnteredBelow = [int.MaxValue, 100, 64, 32, 16];

    /// <summary>
    /// Free memory, % of minFree, from which a state is left for a better one: what the state above is entered at. The gap between the
    /// two keeps a host from going to and fro.
    /// </summary>
    private static readonly int[] LeftFrom = [int.MaxValue, 400, 100, 64, 32];

    /// <summary>Memory that is to be free, bytes.</summary>
    /// <param name="budget">Host memory for machines, bytes.</param>
    public static long MinFree(long budget)
    {
        long free = budget <= FirstBytes ? (long)((double)budget / FirstBytes * FreeOfFirst) : FreeOfFirst + ((budget - FirstBytes) / RestDivisor);
        return Math.Max(LeastFree, free);
    }

    /// <summary>Free memory below which a state is entered, bytes.</summary>
    public static long Entry(HostMemoryState state, long minFree) => state == HostMemoryState.High ? long.MaxValue : minFree * EnteredBelow[(int)state] / Percent;

    /// <summary>Free memory from which a state is left for a better one, bytes.</summary>
    public static long Exit(HostMemoryState state, long minFree) => state == HostMemoryState.High ? long.MaxValue : minFree * LeftFrom[(int)state] / Percent;

    /// <summary>The state after one, with so much free.</summary>
    public static HostMemoryState Next(HostMemoryState present, long free, long minFree)
    {
        HostMemoryState next = present;
        while (next < HostMemoryState.Low && free < Entry(next + 1, minFree))
        {
            next++;
        }

        while (next > HostMemoryState.High && free >= Exit(next, minFree))
        {
            next--;
        }

        return next;
    }
}
