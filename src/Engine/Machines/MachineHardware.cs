using Hypervisor.Engine.Boot;
using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Acpi;
using Hypervisor.Engine.Devices.Firmware;
using Hypervisor.Engine.Devices.Interrupts;
using Hypervisor.Engine.Devices.Pci;
using Hypervisor.Engine.Devices.Platform;
using Hypervisor.Engine.Devices.Serial;
using Hypervisor.Engine.Devices.Timers;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Network.UserMode;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Machines;

/// <summary>
/// Partition, memory, bus and devices of one machine, wired together. Knows nothing of threads and power states. On disposal
/// everything is taken apart in the opposite order of assembly.
/// </summary>
internal sealed partial class MachineHardware : IDisposable
{
    // Every kind of device has slots of its own, so that a disk more or less does not move the network adapters: guests name
    // interfaces after their slots.
    private const int FirstAdapterSlot = 3, FirstDiskSlot = 11, ConsoleSlot = 27, EntropySlot = 28, BalloonSlot = 29;

    /// <summary>How often a guest's balloon driver says how its memory is used.</summary>
    private static readonly TimeSpan GuestStatisticsInterval = TimeSpan.FromSeconds(20);

    private readonly Stack<IDisposable> _owned = new();
    private readonly List<IResettable> _resettable = [];
    private readonly List<UserModeNetwork> _networks = [];
    private readonly MachineBus _bus = new();
    private readonly InterruptRouter _interrupts;
    private readonly PciBus _pci;
    private readonly FirmwareDebugPort? _debugPort;
    private readonly ManagedMemory? _managed;
    private readonly VirtualMachineConfiguration _configuration;

    /// <summary>Assembles a machine.</summary>
    /// <exception cref="MachineException">Something is missing or does not fit; nothing stays behind.</exception>
    public MachineHardware(VirtualMachineConfiguration configuration, IPartitionFactory backend, StorageIoControl storageIo, MemoryManager? memory, IMachineControl control, Action<MachineEvent> events)
    {
        _configuration = configuration;
        try
        {
            var settings = AdvancedSettings.Read(configuration);
            var layout = new MemoryLayout((ulong)configuration.MemoryMB << 20);
            var tables = new AcpiTables(new AcpiPlatform { ProcessorCount = configuration.NumCpu });

            Boot = Own<IBootSource>(configuration.KernelPath is null ? new FirmwareBoot(configuration) : new DirectBoot(configuration, layout, tables));
            Memory = Own(new GuestMemory());
            AddMemory(configuration, layout);
            Clock = Own(new MachineClock(configuration.Name, paused: true, error => control.ReportFailure("machine's clock", error)));
            Partition = Own(CreatePartition(configuration, settings, backend));
            foreach (var (guest, host, bytes, writable) in Memory.Blocks)
            {
                Partition.MapMemory(guest, host, bytes, writable ? MemoryAccess.All : MemoryAccess.Rom);
            }

            Memory.Written = Partition.NotifyHostWrite;
            _managed = memory is null ? null : Own(Manage(memory, configuration, control, events));

            _interrupts = new InterruptRouter(Partition);
            _interrupts.Map(_bus);
            if (!Partition.Capabilities.InKernelIrqChip)
            {
                Reset(Own(new Pit(Clock, _interrupts.Line(0)))).Map(_bus);
            }

            var rtc = Reset(Own(new RealTimeClock(Clock, _interrupts.Line(8))));
            rtc.Map(_bus);
            PowerManagement = Reset(Own(new AcpiPowerManagement(Clock, _interrupts.Line(AcpiPlatform.SystemControlInterrupt), control)));
            rtc.AlarmReached = PowerManagement.RaiseClockAlarm;
            _bus.MapPorts(AcpiPlatform.PowerManagementPort, AcpiPowerManagement.PortCount, PowerManagement);
            _ = new ResetControl(_bus, control);
            _bus.MapPorts(PostCodePort.Port, 1, new PostCodePort());

            Serial = Reset(Own(new Uart16550(Clock, _interrupts.Line(Uart16550.Com1Irq), Console)));
            _bus.MapPorts(Uart16550.Com1Port, Uart16550.PortCount, Serial);

            _pci = Reset(new PciBus(_bus, new PartitionMessages(Partition), _interrupts.Line));
            _pci.ResetRequested = () => control.RequestReset("the reset control register");
            AttachDisks(configuration, storageIo, events, control);
            AttachNetworkAdapters(configuration, settings, events, control);
            var console = new VirtioConsole(Memory, Console);
            Attach(console, ConsoleSlot, events, control);
            Serial.InputTaken = console.InputTaken = Console.ResumeInput;
            SendInput = settings.InputToVirtioConsole ? bytes => console.SendInput(bytes.Span) : bytes => Serial.Receive(bytes.Span);
            Attach(new VirtioEntropy(Memory, Clock), EntropySlot, events, control);
            var balloon = new VirtioBalloon(Memory, Clock, GuestStatisticsInterval, settings.OffersFreePageReporting);
            Attach(balloon, BalloonSlot, events, control);
            _managed?.Balloon = balloon;

            if (!Boot.IsDirect)
            {
                FirmwareLog = new MachineConsole();
                _debugPort = Reset(new FirmwareDebugPort(FirmwareLog));
                _bus.MapPorts(FirmwareDebugPort.Port, 1, _debugPort);
                DescribeToFirmware(configuration, layout, tables, rtc);
            }

            if (settings.DebugExitPort is { } port)
            {
                MapDebugExit(port, control);
            }

            ResetOnTripleFault = settings.ResetOnTripleFault;
        }
        catch (Exception error)
        {
            Dispose();
            if (error is PartitionException)
            {
                throw new MachineException(error.Message, error);
            }

            throw;
        }
    }

    /// <summary>What is booted.</summary>
    public IBootSource Boot { get; }

    /// <summary>Guest memory.</summary>
    public GuestMemory Memory { get; }

    /// <summary>The machine's time; paused until it starts.</summary>
    public MachineClock Clock { get; }

    /// <summary>The processors.</summary>
    public IPartition Partition { get; }

    /// <summary>Power button and soft-off.</summary>
    public AcpiPowerManagement PowerManagement { get; }

    /// <summary>COM1.</summary>
    public Uart16550 Serial { get; }

    /// <summary>What COM1 is connected to.</summary>
    public MachineConsole Console { get; } = new();

    /// <summary>What firmware reports on its debug port; null without firmware.</summary>
    public MachineConsole? FirmwareLog { get; }

    /// <summary>A triple fault resets instead of powering off.</summary>
    public bool ResetOnTripleFault { get; }

    /// <summary>Hands console input to the device that the console is; returns how many bytes it took.</summary>
    public Func<ReadOnlyMemory<byte>, int> SendInput { get; }

    /// <summary>Host ports bound for port forwards.</summary>
    public IReadOnlyList<PortForward> PortForwards => [.. _networks.SelectMany(network => network.PortForwards)];

    /// <summary>Power-on state of everything, the boot image loaded, processor 0 at its entry. All processors stand still.</summary>
    /// <exception cref="MachineException">The boot image cannot be loaded.</exception>
    public void PowerOnState()
    {
        ResetAll();
        LoadBootImage();
    }

    /// <summary>Power-on state of all devices and processors, which stand still.</summary>
    public void ResetAll()
    {
        // Devices first: they lower their interrupt lines while the controllers still listen.
        foreach (var device in _resettable)
        {
            device.Reset();
        }

        _interrupts.Reset();
        foreach (var processor in Partition.Processors)
        {
            processor.Reset();
        }
    }

    /// <summary>Loads the boot image, after a reset.</summary>
    /// <exception cref="MachineException">It cannot be loaded.</exception>
    public void LoadBootImage()
    {
        if (Boot.IsDirect)
        {
            _pci.AssignResources();
        }

        Boot.Load(Memory, Partition.Processors[0]);
    }

    /// <summary>Whether processors do not wait for memory, because they were told to stop, for good or for a reset.</summary>
    public void Abandon(bool abandoned) => _managed?.Abandon(abandoned);

    /// <summary>Hands over what devices still hold back for the console.</summary>
    public void FlushOutput()
    {
        Serial.Flush();
        _debugPort?.Flush();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        while (_owned.TryPop(out var item))
        {
            item.Dispose();
        }
    }

    private IPartition CreatePartition(VirtualMachineConfiguration configuration, AdvancedSettings settings, IPartitionFactory backend) =>
        backend.Create(new PartitionOptions
        {
            ProcessorCount = configuration.NumCpu,
            CoresPerSocket = configuration.CoresPerSocket,
            Bus = _bus,
            Clock = Clock,
            ProcessorModel = settings.ProcessorModel,
            CodeCacheMB = settings.CodeCacheMB,
        });

    private void AddMemory(VirtualMachineConfiguration configuration, MemoryLayout layout)
    {
        try
        {
            layout.AddBlocks(Memory);
            Boot.AddMemory(Memory);
        }
        catch (InsufficientMemoryException error)
        {
            throw new MachineException($"The virtual machine '{configuration.Name}' cannot have {configuration.MemoryMB} MB of memory: {error.Message}", error);
        }
    }

    private ManagedMemory Manage(MemoryManager manager, VirtualMachineConfiguration configuration, IMachineControl control, Action<MachineEvent> events)
    {
        try
        {
            return manager.Add(new ManagedMemoryOptions
            {
                Id = configuration.Id,
                Name = configuration.Name,
                Memory = Memory,
                Partition = Partition,
                Plan = MachineMemory.PlanOf(configuration, manager.Configuration),
                SwapPath = manager.SwapPathOf(configuration.Id),
                OverheadBytes = (long)MachineMemory.OverheadOf(configuration) << 20,
                DeviceOverheadBytes = (long)MachineMemory.DeviceOverheadOf(configuration) << 20,
                Raise = events,
                Failed = error => control.ReportFailure("guest memory", error),
            });
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new MachineException($"The swap file of '{configuration.Name}' cannot be made: {error.Message}", error);
        }
    }

    private void AttachDisks(VirtualMachineConfiguration configuration, StorageIoControl storageIo, Action<MachineEvent> events, IMachineControl control)
    {
        for (int i = 0; i < configuration.Disks.Count; i++)
        {
            var (image, io) = DiskAttachments.Open(configuration, i, storageIo);
            Attach(new VirtioBlock(Memory, image, $"disk {i}", $"{configuration.Id:N}"[..16] + $"-{i}", io: io), FirstDiskSlot + i, events, control);
        }
    }

    private void AttachNetworkAdapters(VirtualMachineConfiguration configuration, AdvancedSettings settings, Action<MachineEvent> events, IMachineControl control)
    {
        const string UserModeNetworkName = "NAT";
        for (int i = 0; i < configuration.NetworkAdapters.Count; i++)
        {
            var adapter = configuration.NetworkAdapters[i];
            string name = $"network adapter {i + 1}";
            if (!string.Equals(adapter.NetworkName, UserModeNetworkName, StringComparison.OrdinalIgnoreCase))
            {
                throw new MachineException($"The {name} of '{configuration.Name}' is on the network '{adapter.NetworkName}', which does not exist here; {UserModeNetworkName} does.");
            }

            if (!Network.MacAddress.TryParse(adapter.MacAddress, out var address) || address.IsMulticast || address.IsZero)
            {
                throw new MachineException($"The {name} of '{configuration.Name}' has the MAC address '{adapter.MacAddress}'; it has to be one like 00:50:56:01:02:03.");
            }

            UserModeNetwork network = Own(new UserModeNetwork(new UserModeNetworkOptions
            {
                AllowHostLoopback = settings.AllowHostLoopback,
                Failed = error => control.ReportFailure($"network of {name}", error),
            }));
            _networks.Add(network);
            var card = new VirtioNet(Memory, name, address, network.Connect, network.Mtu) { LinkUp = adapter.StartConnected };
            _ports.Add(new NetworkPort(NextPortId(), UserModeNetworkName, adapter.MacAddress, card, network));
            Attach(card, FirstAdapterSlot + i, events, control);
            foreach (var forward in adapter.PortForwards)
            {
                network.AddPortForward(forward);
            }
        }
    }

    private void Attach(VirtioDevice device, int slot, Action<MachineEvent> events, IMachineControl control)
    {
        device.EventRaised += events;
        device.Failed = error => control.ReportFailure(device.Name, error);
        Own(device);
        try
        {
            var function = new VirtioPciDevice(device);
            _pci.Attach(function, slot);
            _functions.Add(function);
        }
        catch (Exception error) when (error is InvalidOperationException or ArgumentOutOfRangeException)
        {
            throw new MachineException($"The {device.Name} cannot be attached: {error.Message}", error);
        }
    }

    private void DescribeToFirmware(VirtualMachineConfiguration configuration, MemoryLayout layout, AcpiTables tables, RealTimeClock rtc)
    {
        var items = new FirmwareConfiguration(configuration.NumCpu, layout.MemoryBytes);
        TableLoader.Add(items, tables);
        items.AddFile("etc/e820", FirmwareMemory.Map(layout));
        items.AddInteger("etc/sercon-port", Uart16550.Com1Port);
        items.AddInteger("etc/show-boot-menu", 0);
        items.AddInteger("etc/max-cpus", (ulong)configuration.NumCpu);
        var device = Reset(new FirmwareConfigurationDevice(items, Memory));
        _bus.MapPorts(FirmwareConfigurationDevice.Port, FirmwareConfigurationDevice.PortCount, device);
        FirmwareMemory.FillCmos(rtc, configuration.NumCpu, layout);
    }

    private void MapDebugExit(ushort port, IMachineControl control)
    {
        if (!_bus.TryMapPorts(port, DebugExitPort.PortCount, new DebugExitPort(control)))
        {
            throw new MachineException($"The advanced setting debugExit.port is {port:x}h, where another device answers; 0xf4 is free.");
        }
    }

    private T Own<T>(T item) where T : IDisposable
    {
        _owned.Push(item);
        return item;
    }

    private T Reset<T>(T device) where T : IResettable
    {
        _resettable.Add(device);
        return device;
    }

    private sealed class PartitionMessages(IPartition partition) : IMsiSink
    {
        public void SignalMsi(ulong address, uint data) => partition.SignalMsi(address, data);
    }
}
