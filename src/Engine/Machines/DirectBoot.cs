using Hypervisor.Engine.Boot;
using Hypervisor.Engine.Devices.Acpi;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Machines;

/// <summary>Boots a kernel without firmware.</summary>
internal sealed class DirectBoot : IBootSource
{
    private readonly BootImage _image;
    private readonly ImageFile[] _modules;
    private readonly MemoryLayout _layout;
    private readonly string _commandLine;
    private readonly byte[] _tables;

    public DirectBoot(VirtualMachineConfiguration configuration, MemoryLayout layout, AcpiTables tables)
    {
        _layout = layout;
        _commandLine = configuration.KernelCommandLine ?? "";
        _tables = tables.Place(MemoryLayout.AcpiTablesBase);
        _image = BootImage.Open(configuration.KernelPath!);
        try
        {
            _modules = configuration.InitrdPath is { } path ? [ImageFile.Open(path, "initial RAM disk")] : [];
        }
        catch
        {
            _image.Dispose();
            throw;
        }
    }

    public bool IsDirect => true;

    public void AddMemory(GuestMemory memory)
    {
        // A kernel lies in the machine's own memory.
    }

    public void Load(GuestMemory memory, IVirtualProcessor processor)
    {
        memory.Load(MemoryLayout.AcpiTablesBase, _tables);
        var entry = _image.Load(new BootRequest
        {
            Memory = memory,
            Layout = _layout,
            CommandLine = _commandLine,
            Modules = _modules,
            RsdpAddress = MemoryLayout.AcpiTablesBase,
        });
        entry.Apply(processor);
    }

    public void Dispose()
    {
        _image.Dispose();
        foreach (var module in _modules)
        {
            module.Dispose();
        }
    }
}
