namespace Hypervisor.Engine.Devices.Pci;

/// <summary>
/// PCI bus 0: its functions, both configuration mechanisms (ports CF8h/CFCh and ECAM), BAR mappings and interrupt wiring. Functions
/// are attached while the machine is assembled.
/// </summary>
public sealed class PciBus : IResettable
{
    private const int SlotCount = 32, FunctionCount = 8;
    private const ulong LargeBar = 0x1000_0000;

    private readonly Lock _configuration = new();
    private readonly MachineBus _bus;
    private readonly IMsiSink _messages;
    private readonly SharedInterruptLine[] _lines;
    private readonly PciDevice?[] _functions = new PciDevice?[SlotCount * FunctionCount];
    private readonly List<PciDevice> _devices = [];
    private bool _assigned;

    /// <summary>Puts the bus, its configuration mechanisms and the host bridge 00:00.0 on the machine's bus.</summary>
    /// <param name="bus">Where configuration ports, ECAM and BARs are mapped.</param>
    /// <param name="messages">Takes MSI-X messages.</param>
    /// <param name="interruptLines">The I/O APIC input of a GSI, level-triggered; asked for GSIs 16 to 23 once each.</param>
    public PciBus(MachineBus bus, IMsiSink messages, Func<int, IInterruptLine> interruptLines)
    {
        ArgumentNullException.ThrowIfNull(bus);
        ArgumentNullException.ThrowIfNull(interruptLines);
        (_bus, _messages) = (bus, messages);
        _lines = [.. Enumerable.Range(PlatformLayout.PciInterruptBase, PlatformLayout.PciInterruptCount).Select(gsi => new SharedInterruptLine(interruptLines(gsi)))];
        ConfigurationPorts = new PciConfigurationPorts(this);
        bus.MapPorts(PlatformLayout.PciConfigPort, PlatformLayout.PciConfigPortCount, ConfigurationPorts);
        bus.MapMmio(PlatformLayout.EcamBase, PlatformLayout.EcamSize, new PciEcamWindow(this));
        Attach(new HostBridge(), 0);
    }

    /// <summary>Functions in order of attachment, the host bridge first.</summary>
    public IReadOnlyList<PciDevice> Devices => _devices;

    /// <summary>
    /// Called when the guest asks for a reset through the reset control register at port CF9h; on a virtual processor's thread,
    /// so it only starts the reset.
    /// </summary>
    public Action? ResetRequested
    {
        get => ConfigurationPorts.ResetRequested;
        set => ConfigurationPorts.ResetRequested = value;
    }

    private PciConfigurationPorts ConfigurationPorts { get; }

    /// <summary>Attaches a function at the next free slot from 2 on (slot 1 is where PCs have their ISA bridge); returns the slot.</summary>
    /// <exception cref="InvalidOperationException">All slots are taken.</exception>
    public int Attach(PciDevice device)
    {
        for (int slot = 2; slot < SlotCount; slot++)
        {
            if (_functions[slot * FunctionCount] == null)
            {
                Attach(device, slot);
                return slot;
            }
        }

        throw new InvalidOperationException("The PCI bus has no free slot: a machine takes 30 devices.");
    }

    /// <summary>Attaches a function at a given place.</summary>
    /// <exception cref="InvalidOperationException">The place is taken, or a function other than 0 comes first.</exception>
    public void Attach(PciDevice device, int slot, int function = 0)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)slot, (uint)SlotCount, nameof(slot));
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)function, (uint)FunctionCount, nameof(function));
        int first = slot * FunctionCount;
        if (_functions[first + function] != null || (function != 0 && _functions[first] == null))
        {
            throw new InvalidOperationException($"PCI function {slot:x2}.{function} cannot be attached: it is taken, or function 0 is not there yet.");
        }

        if (function != 0)
        {
            _functions[first]!.MarkMultiFunction();
            device.MarkMultiFunction();
        }

        device.Connect(this, slot, function, _messages, _lines[LineIndex(slot)].CreateInput());
        _functions[first + function] = device;
        _devices.Add(device);
    }

    /// <summary>
    /// Does firmware's work for a kernel that is booted directly: places every BAR in the windows of <see cref="PlatformLayout"/>,
    /// switches decoding on and notes the interrupt. Repeated by <see cref="Reset"/>.
    /// </summary>
    /// <exception cref="InvalidOperationException">The BARs do not fit into the windows.</exception>
    public void AssignResources()
    {
        lock (_configuration)
        {
            _assigned = true;
            ulong ports = PlatformLayout.PciPortBase, low = PlatformLayout.PciMmioHighBase, high = PlatformLayout.PciMmio64Base;
            foreach (var device in _devices)
            {
                foreach (var bar in device.Bars)
                {
                    ulong address = bar switch
                    {
                        { IsPort: true } => Take(ref ports, PlatformLayout.PciPortBase + (ulong)PlatformLayout.PciPortCount, bar.Size),
                        { Is64Bit: true, Size: >= LargeBar } => Take(ref high, PlatformLayout.PciMmio64Base + PlatformLayout.PciMmio64Size, bar.Size),
                        _ => Take(ref low, PlatformLayout.PciMmioHighBase + PlatformLayout.PciMmioHighSize, bar.Size),
                    };
                    device.AssignBar(bar, address);
                }

                device.AssignDefaults((byte)PlatformLayout.PciInterruptGsi(device.Slot, 0));
            }

            UpdateMappings();
        }
    }

    /// <inheritdoc/>
    public void Reset()
    {
        lock (_configuration)
        {
            foreach (var device in _devices)
            {
                device.Reset();
            }

            ConfigurationPorts.Reset();
            UpdateMappings();
            if (_assigned)
            {
                AssignResources();
            }
        }
    }

    /// <summary>Reads configuration space; a function that is not there reads as ones.</summary>
    /// <param name="function">Bus, device and function as in an ECAM address: bits 15:8, 7:3 and 2:0.</param>
    /// <param name="offset">Byte offset, 0 to 4095.</param>
    /// <param name="size">1, 2 or 4; bytes beyond the doubleword read as ones.</param>
    internal uint ReadConfig(int function, int offset, int size)
    {
        uint ones = size == 4 ? uint.MaxValue : (1u << (size * 8)) - 1;
        if (function >= _functions.Length || _functions[function] is not { } device)
        {
            return ones;
        }

        int inside = Math.Min(size, 4 - (offset & 3));
        lock (_configuration)
        {
            uint value = device.ReadConfig(offset, inside);
            return inside == size ? value : value | (ones << (inside * 8) & ones);
        }
    }

    /// <summary>Writes configuration space; bytes beyond the doubleword are dropped.</summary>
    internal void WriteConfig(int function, int offset, int size, uint value)
    {
        if (function >= _functions.Length || _functions[function] is not { } device)
        {
            return;
        }

        lock (_configuration)
        {
            device.WriteConfig(offset, Math.Min(size, 4 - (offset & 3)), value);
        }
    }

    /// <summary>
    /// Brings the mappings into line with the registers of all functions: first everything that moved goes, then everything that is
    /// enabled tries to come, so that two BARs can swap places and one that lost a conflict comes back when the other leaves.
    /// </summary>
    internal void UpdateMappings()
    {
        foreach (var device in _devices)
        {
            device.WithdrawBars(_bus);
        }

        foreach (var device in _devices)
        {
            device.ClaimBars(_bus);
        }
    }

    private static int LineIndex(int slot) => PlatformLayout.PciInterruptGsi(slot, 0) - PlatformLayout.PciInterruptBase;

    private static ulong Take(ref ulong next, ulong end, ulong size)
    {
        ulong address = (next + size - 1) & ~(size - 1);
        next = address + size;
        return next <= end ? address : throw new InvalidOperationException("The PCI devices of this machine need more address space than its windows have.");
    }
}
