using Hypervisor.Engine.Native.Posix;

namespace Hypervisor.Engine.Partitions;

/// <summary>
/// Event descriptors in place of calls, for backends that run in the host's kernel: a guest's doorbell signals a descriptor without
/// leaving the kernel, and a signalled descriptor raises an interrupt. Found by casting an <see cref="IPartition"/>.
/// </summary>
public interface IEventFdPartition
{
    /// <summary>Lets a descriptor pulse an interrupt line or message route whenever it is signalled.</summary>
    /// <param name="gsi">A line (0 to 23) or the number of a message route.</param>
    /// <param name="trigger">Signalled by the device.</param>
    /// <param name="resample">
    /// For level-triggered lines: signalled by the kernel at the EOI, after which the device asserts again if it still has to.
    /// </param>
    /// <exception cref="PartitionException">The host refused.</exception>
    void AttachIrqFd(int gsi, EventFd trigger, EventFd? resample = null);

    /// <summary>Takes that back.</summary>
    void DetachIrqFd(int gsi, EventFd trigger);

    /// <summary>Reserves a route for a message-signalled interrupt and returns its number for <see cref="AttachIrqFd"/>.</summary>
    /// <exception cref="PartitionException">The routing table is full.</exception>
    int AddMessageRoute(ulong address, uint data);

    /// <summary>Changes the message of a route, as the guest reprograms its vector.</summary>
    void UpdateMessageRoute(int gsi, ulong address, uint data);

    /// <summary>Gives a route back.</summary>
    void RemoveMessageRoute(int gsi);

    /// <summary>Signals a descriptor, instead of calling the bus, when the guest writes there.</summary>
    /// <param name="space">Ports or memory addresses.</param>
    /// <param name="address">The port, or the guest-physical address.</param>
    /// <param name="bytes">Size of the write: 1, 2, 4, 8, or 0 for any.</param>
    /// <param name="value">The value that counts; null for any.</param>
    /// <param name="doorbell">The descriptor.</param>
    /// <exception cref="PartitionException">The host refused, for instance because another doorbell stands there.</exception>
    void AttachDoorbell(DoorbellSpace space, ulong address, int bytes, ulong? value, EventFd doorbell);

    /// <summary>Takes that back; the arguments are those of <see cref="AttachDoorbell"/>.</summary>
    void DetachDoorbell(DoorbellSpace space, ulong address, int bytes, ulong? value, EventFd doorbell);
}

/// <summary>Where a doorbell stands.</summary>
public enum DoorbellSpace
{
    /// <summary>Guest-physical memory.</summary>
    Memory,

    /// <summary>I/O ports.</summary>
    Port,
}
