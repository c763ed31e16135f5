namespace Hypervisor.Engine.Scheduling;

/// <summary>The physical processors of a host: how many, how fast, and on which NUMA node each is.</summary>
internal sealed class HostTopology
{
    private readonly int[] _nodeOf;

    /// <summary>Describes a host.</summary>
    /// <param name="processorMHz">Speed of each processor, MHz.</param>
    /// <param name="nodeOfProcessor">NUMA node of each processor, nodes counted from 0 without a gap.</param>
    public HostTopology(int processorMHz, params int[] nodeOfProcessor)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(processorMHz, 1);
        ArgumentOutOfRangeException.ThrowIfZero(nodeOfProcessor.Length);
        ProcessorMHz = processorMHz;
        _nodeOf = nodeOfProcessor;
        NodeCount = nodeOfProcessor.Max() + 1;
        Nodes = [.. Enumerable.Range(0, NodeCount).Select(node => new ProcessorSet(Count, Enumerable.Range(0, Count).Where(cpu => nodeOfProcessor[cpu] == node)))];
        if (Nodes.Any(static node => node.Count == 0))
        {
            throw new ArgumentException("A NUMA node has no processor.", nameof(nodeOfProcessor));
        }
    }

    /// <summary>Processors.</summary>
    public int Count => _nodeOf.Length;

    /// <summary>Speed of each, MHz.</summary>
    public int ProcessorMHz { get; }

    /// <summary>NUMA nodes.</summary>
    public int NodeCount { get; }

    /// <summary>Processors of each node.</summary>
    public IReadOnlyList<ProcessorSet> Nodes { get; }

    /// <summary>The operating system's number of each processor; empty where they are not known, or no real ones.</summary>
    public IReadOnlyList<int> HostNumbers { get; init; } = [];

    /// <summary>A host whose nodes have the same number of processors each.</summary>
    public static HostTopology Uniform(int processors, int nodes = 1, int processorMHz = 2000) =>
        new(processorMHz, [.. Enumerable.Range(0, processors).Select(cpu => cpu * nodes / processors)]);

    /// <summary>NUMA node of a processor.</summary>
    public int NodeOf(int processor) => _nodeOf[processor];
}
