using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Inventory;

// What virtual processors in software tell about themselves.
public sealed partial class HypervisorHost
{
    /// <summary>The counters of a running machine's virtual processors, by index.</summary>
    /// <exception cref="PowerStateException">The machine is off, or another process runs it.</exception>
    /// <exception cref="MachineException">The backend has no counters.</exception>
    public IReadOnlyList<VirtualProcessorCounters> GetProcessorCounters(VirtualMachine target)
    {
        ArgumentNullException.ThrowIfNull(target);
        IMachine machine = Running(target).Machine;
        return machine.GetProcessorCounters() is { Count: > 0 } counters ? counters : throw NoSoftwareProcessor(machine);
    }

    /// <summary>
    /// The guest's instructions at an address beside the host code that a virtual processor made of them. The processor stands still
    /// while they are read, which takes milliseconds; the machine may run.
    /// </summary>
    /// <param name="target">The machine.</param>
    /// <param name="processor">Index of the virtual processor.</param>
    /// <param name="address">Linear address as that processor sees memory now; null takes the place where it goes on.</param>
    /// <exception cref="PowerStateException">The machine is off, or another process runs it.</exception>
    /// <exception cref="MachineException">There is no such processor, or its backend translates nothing.</exception>
    /// <exception cref="TimeoutException">The processor did not come to a stop in time.</exception>
    public IReadOnlyList<GuestTranslationLine> DescribeTranslation(VirtualMachine target, int processor, ulong? address)
    {
        ArgumentNullException.ThrowIfNull(target);
        IMachine machine = Running(target).Machine;
        int count = machine.Configuration.NumCpu;
        if (processor < 0 || processor >= count)
        {
            throw new MachineException($"'{target.Name}' has no virtual processor {processor}. {(count == 1 ? "It has one: 0" : $"It has {count}: 0 to {count - 1}")}.");
        }

        return machine.DescribeTranslation(processor, address) ?? throw NoSoftwareProcessor(machine);
    }

    private static MachineException NoSoftwareProcessor(IMachine machine) => new(
        $"'{machine.Configuration.Name}' runs on the backend {machine.Backend}, whose processors are the host's own and translate nothing. Counters and translations are there for machines on the backend Software.");
}
