using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Timing;

namespace Hypervisor.Engine.Scheduling;

// Which processors the operating system may run a thread on. While each thread that wants to run has a slot, that is the operating
// system's choice among the processors of the machine's affinity and, on hosts with several nodes, of the node of its slot: it knows
// what else runs, other processes with machines among it. When threads wait for slots, each runs on the processor of its slot: else
// Linux wakes the next thread where the last one ran, behind the one that runs there now, and leaves the processor that has become free
// idle for about a millisecond.
internal sealed partial class CpuScheduler
{
    private bool _isContended;

    /// <summary>Told when the operating system refuses to bind the threads of a machine: its name, and why.</summary>
    public Action<string, string>? BindingRefused { get; set; }

    // Under the lock, before the thread is told of its slot. Costs a few comparisons when it is bound as it is to be.
    private void Bind(WorldPermit permit, int slot)
    {
        ProcessorSet? affinity = permit.World.Machine.Affinity;
        int node = Topology.NodeCount == 1 ? 0 : Topology.NodeOf(slot);

        // A slot may be one of an affinity that was taken away just now; then the machine is about to be asked to leave it.
        int boundSlot = _isContended && (affinity is null || affinity.Contains(slot)) ? slot : WorldPermit.NoSlot;
        if (permit.ThreadId == 0 || Topology.HostNumbers.Count == 0
            || (ReferenceEquals(affinity, permit.BoundTo) && node == permit.BoundNode && boundSlot == permit.BoundSlot))
        {
            return;
        }

        (permit.BoundTo, permit.BoundNode, permit.BoundSlot) = (affinity, node, boundSlot);
        Span<int> processors = stackalloc int[Topology.Count];
        int count = 0;
        for (int other = 0; other < Topology.Count; other++)
        {
            if (boundSlot == WorldPermit.NoSlot ? (affinity is null || affinity.Contains(other)) && Topology.NodeOf(other) == node : other == slot)
            {
                processors[count++] = Topology.HostNumbers[other];
            }
        }

        // A thread that has ended needs no processor.
        const int NoSuchThread = 3;
        if (count > 0 && ThreadAffinity.Set(permit.ThreadId, processors[..count]) is not (0 or NoSuchThread) and int error)
        {
            BindingRefused?.Invoke(permit.World.Machine.Name, $"processors {string.Join(",", processors[..count].ToArray())}: {Marshal.GetPInvokeErrorMessage(error)}");
        }
    }

    // What runs is bound as it is to be now.
    private void BindAnew()
    {
        for (int slot = 0; slot < Topology.Count; slot++)
        {
            if (_policy.RunningOn(slot) is { } world)
            {
                Bind(PermitOf(world), slot);
            }
        }
    }

    // After a change of what runs and waits: threads have begun to wait for slots, or none does any more.
    private void FollowContention()
    {
        if (_isContended != _policy.HasWaiting)
        {
            _isContended = !_isContended;
            BindAnew();
        }
    }
}
