using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Timing;

namespace Hypervisor.Engine.Scheduling;

// Which processors the operating system may run a thread on. A slot is a place in the schedule; between the processors that a machine
// may use the operating system chooses better than we do, as it knows what other programs run. It is told two things only: the
// machine's affinity, and on hosts with several nodes the one whose slot the thread has.
internal sealed partial class CpuScheduler
{
    /// <summary>Told when the operating system refuses to bind the threads of a machine: its name, and why.</summary>
    public Action<string, string>? BindingRefused { get; set; }

    /// <summary>Binds the calling thread, which has a slot, if it is bound otherwise. Costs two comparisons when it is not.</summary>
    internal void Bind(WorldPermit permit)
    {
        SchedulingMachine machine = permit.World.Machine;
        ProcessorSet? affinity = machine.Affinity;
        int node = Topology.NodeCount == 1 ? 0 : Topology.NodeOf(permit.World.Slot);
        if (Topology.HostNumbers.Count == 0 || (ReferenceEquals(affinity, permit.BoundTo) && node == permit.BoundNode))
        {
            return;
        }

        (permit.BoundTo, permit.BoundNode) = (affinity, node);
        int[] processors =
        [
            .. Enumerable.Range(0, Topology.Count)
                .Where(slot => (affinity is null || affinity.Contains(slot)) && Topology.NodeOf(slot) == node)
                .Select(slot => Topology.HostNumbers[slot]),
        ];

        // The slot may be one of an affinity that was taken away just now; then the machine is about to be asked to leave it.
        if (processors.Length > 0 && ThreadAffinity.Set(0, processors) is not 0 and int error)
        {
            BindingRefused?.Invoke(machine.Name, $"processors {string.Join(",", processors)}: {Marshal.GetPInvokeErrorMessage(error)}");
        }
    }

    // Threads that run are bound when they come back from leaving, the others when they run next.
    private void BindAnew(SchedulingMachine machine)
    {
        foreach (World world in machine.Worlds)
        {
            if (world.State == WorldState.Running && world.Tag is WorldPermit permit)
            {
                permit.RequestLeave();
            }
        }
    }
}
