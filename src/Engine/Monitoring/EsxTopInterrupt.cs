using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Monitoring;

/// <summary>How often something interrupted a machine since power-on: the raw counters of the interrupt panel.</summary>
public sealed class EsxTopInterruptCounters : IEsxTopCounters
{
    internal EsxTopInterruptCounters(IMachine machine) => Instance = machine;

    /// <inheritdoc/>
    public string Name => Instance.Configuration.Name;

    /// <summary>Identity of the machine.</summary>
    public Guid VMId => Instance.Configuration.Id;

    /// <summary>The way it takes: <c>MSI-X 0</c>, <c>IRQ 4</c>; for a virtual processor <c>VCPU 0</c>.</summary>
    public required string Vector { get; init; }

    /// <summary>The device; for a virtual processor what it takes: all interrupts.</summary>
    public required string Device { get; init; }

    /// <summary>Interrupts that the device asked for; null for a virtual processor.</summary>
    public long? Raised { get; init; }

    /// <summary>Interrupts that the virtual processor took, timers and those from other processors included; null for a device.</summary>
    public long? Delivered { get; init; }

    /// <summary>When this was counted, on a clock that only grows, µs.</summary>
    public required long TimeInUsec { get; init; }

    /// <summary>The run of the machine.</summary>
    internal IMachine Instance { get; }
}

/// <summary>A line of the interrupt panel: a machine, or a source of its interrupts, or one of its virtual processors.</summary>
public sealed class EsxTopInterrupt : IEsxTopRow
{
    internal EsxTopInterrupt(string name, string vector, string device, double? raised, double? delivered)
    {
        (Name, Vector, Device) = (name, vector, device);
        CountPerSec = raised is { } count ? Math.Round(count, 2) : null;
        DeliveredPerSec = delivered is { } taken ? Math.Round(taken, 2) : null;
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <summary>VECTOR: <c>MSI-X 0</c>, <c>IRQ 4</c>, <c>VCPU 0</c>; empty for a machine.</summary>
    public string Vector { get; }

    /// <summary>COUNT/s: interrupts that devices asked for.</summary>
    public double? CountPerSec { get; }

    /// <summary>DLVRD/s: interrupts that virtual processors took, timers and those from other processors included; null where the hardware executes the guest and does not tell.</summary>
    public double? DeliveredPerSec { get; }

    /// <summary>DEVICES.</summary>
    public string Device { get; }
}
