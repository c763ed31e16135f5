using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Machines;

/// <summary>What a machine boots: a kernel that is loaded directly, or firmware.</summary>
internal interface IBootSource : IDisposable
{
    /// <summary>The machine itself does firmware's work, such as assigning PCI resources.</summary>
    bool IsDirect { get; }

    /// <summary>Adds memory of its own to the machine's; before the partition maps it.</summary>
    void AddMemory(Memory.GuestMemory memory);

    /// <summary>Loads everything and sets the first processor's registers; after each reset of the processors.</summary>
    /// <exception cref="MachineException">It does not fit, or a file has changed for the worse.</exception>
    void Load(Memory.GuestMemory memory, IVirtualProcessor processor);
}
