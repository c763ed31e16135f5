namespace Hypervisor.Engine.Scheduling;

/// <summary>
/// Machines that may run on the same processors and are at home on the same NUMA node share a class; each pool has one queue a class,
/// so that a processor looks only at queues that it may serve.
/// </summary>
/// <param name="Id">Index in the policy's list.</param>
/// <param name="Allowed">Processors that may serve it.</param>
/// <param name="Preferred">Those of them at home.</param>
internal sealed record AffinityClass(int Id, ProcessorSet Allowed, ProcessorSet Preferred);

/// <summary>A physical processor as the policy sees it.</summary>
internal sealed class ProcessorSlot
{
    /// <summary>World that runs on it.</summary>
    public World? Running { get; set; }

    /// <summary>Classes at home on it.</summary>
    public int[] Home { get; set; } = [];

    /// <summary>Classes that it serves when those have nothing to run.</summary>
    public int[] Foreign { get; set; } = [];
}
