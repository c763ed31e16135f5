using Hypervisor.Engine.Boot;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Machines;

/// <summary>Boots firmware from the reset vector, where a reset leaves the first processor.</summary>
internal sealed class FirmwareBoot(VirtualMachineConfiguration configuration) : IBootSource
{
    private readonly FirmwareImage _image = FirmwareImage.Open(configuration.FirmwarePath);

    public bool IsDirect => false;

    public void AddMemory(GuestMemory memory) => _image.AddBlock(memory);

    public void Load(GuestMemory memory, IVirtualProcessor processor) => _image.Load(memory);

    public void Dispose() => _image.Dispose();
}
