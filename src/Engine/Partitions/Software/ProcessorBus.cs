using Hypervisor.Engine.Processor;

namespace Hypervisor.Engine.Partitions.Software;

/// <summary>
/// What one processor is connected to: the partition's memory, its own local APIC, and the machine's bus behind both. One object a
/// processor, because the APIC's page shows each its own.
/// </summary>
internal sealed unsafe class ProcessorBus(SoftwarePartition partition, IPartitionBus machine) : IMemoryBus, IPortBus
{
    private readonly PhysicalMemoryMap _map = partition.Memory;
    private PhysicalMemoryMap.Range? _recent;

    /// <summary>The processor's local APIC; set before it runs.</summary>
    public LocalApic Apic { get; set; } = null!;

    /// <inheritdoc/>
    public byte* PageAttributeTable => _map.Attributes;

    /// <inheritdoc/>
    public ulong PageAttributeCount => _map.AttributeCount;

    /// <summary>Forgets what was looked up: the map changed.</summary>
    public void Forget() => _recent = null;

    /// <inheritdoc/>
    public byte* TryGetPage(ulong address, bool forWriting, out PagePresence presence)
    {
        var range = _recent;
        if (range is null || !range.Contains(address))
        {
            range = _map.Find(address);
            if (range is null)
            {
                presence = PagePresence.None;
                return null;
            }

            _recent = range;
        }

        if (Apic.IsPageAt(address))
        {
            presence = PagePresence.None;
            return null;
        }

        if (range.Pages is { } pages)
        {
            bool present = pages.TryGet(range.PageOf(address), forWriting, out byte* host, out bool writable);
            presence = !present ? PagePresence.Absent : writable ? PagePresence.Writable : PagePresence.Shared;
            return host;
        }

        presence = range.Writable ? PagePresence.Writable : PagePresence.ReadOnly;
        return (byte*)range.Host + (address - range.First);
    }

    /// <inheritdoc/>
    public void MakePresent(ulong address, bool forWriting)
    {
        if (_map.Find(address) is { Pages: { } pages } range)
        {
            pages.MakePresent(range.PageOf(address), forWriting);
        }
    }

    /// <inheritdoc/>
    public void CodePageWritten(ulong pageNumber) => partition.DropCode(pageNumber);

    /// <inheritdoc/>
    public void CodePageMarked(ulong pageNumber) => partition.RevokeWriteAccess(pageNumber, Apic.Id);

    /// <inheritdoc/>
    public void TrackedPageWritten(ulong pageNumber) => _map.Change(pageNumber, 0, PageAttributes.TrackWrites);

    /// <inheritdoc/>
    public ulong ReadMmio(ulong address, int size) => Apic.IsPageAt(address)
        ? Apic.ReadPage(address & (LocalApic.PageBytes - 1), size)
        : machine.ReadMmio(address, size);

    /// <inheritdoc/>
    public void WriteMmio(ulong address, int size, ulong value)
    {
        if (Apic.IsPageAt(address))
        {
            Apic.WritePage(address & (LocalApic.PageBytes - 1), size, value);
        }
        else
        {
            machine.WriteMmio(address, size, value);
        }
    }

    /// <inheritdoc/>
    public uint Read(ushort port, int size) => machine.ReadPort(port, size);

    /// <inheritdoc/>
    public void Write(ushort port, int size, uint value) => machine.WritePort(port, size, value);
}
