using System.Text.Json.Serialization;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Inventory;

/// <summary>What a machine is made of; persisted as versioned JSON. Immutable: a change is a new record.</summary>
public sealed record VirtualMachineConfiguration
{
    /// <summary>Unique, stable identity.</summary>
    public required Guid Id { get; init; }

    /// <summary>Display name, unique on the host without regard to case, 1 to 80 characters.</summary>
    public required string Name { get; init; }

    /// <summary>Guest memory in MB (2^20 bytes).</summary>
    public required int MemoryMB { get; init; }

    /// <summary>Virtual processors.</summary>
    public required int NumCpu { get; init; }

    /// <summary>Cores a virtual socket, a divisor of <see cref="NumCpu"/>.</summary>
    public int CoresPerSocket { get; init; } = 1;

    /// <summary>Kernel image (bzImage, PVH ELF, Multiboot 1) for direct boot; null boots firmware.</summary>
    public string? KernelPath { get; init; }

    /// <summary>Initial RAM disk, or first Multiboot module.</summary>
    public string? InitrdPath { get; init; }

    /// <summary>Kernel command line.</summary>
    public string? KernelCommandLine { get; init; }

    /// <summary>Firmware image mapped below 4 GB and run from the reset vector; null with no kernel finds SeaBIOS on the host.</summary>
    public string? FirmwarePath { get; init; }

    /// <summary>Disks in order of their PCI position.</summary>
    public IReadOnlyList<HardDiskConfiguration> Disks { get; init; } = [];

    /// <summary>Network adapters in order.</summary>
    public IReadOnlyList<NetworkAdapterConfiguration> NetworkAdapters { get; init; } = [];

    /// <summary>Backend asked for.</summary>
    public BackendKind Backend { get; init; } = BackendKind.Auto;

    /// <summary>What it is to get of processors and memory.</summary>
    public ResourceSettings Resources { get; init; } = ResourceSettings.Default;

    /// <summary>Resource pool it is in; null for the host's own.</summary>
    public Guid? ResourcePoolId { get; init; }

    /// <summary>Free text.</summary>
    public string Notes { get; init; } = "";

    /// <summary>When the machine was made, UTC.</summary>
    public DateTimeOffset CreateDate { get; init; }

    /// <summary>Advanced settings by name, such as <c>debugExit.port</c> or <c>processor.model</c>.</summary>
    public IReadOnlyDictionary<string, string> AdvancedSettings { get; init; } = new Dictionary<string, string>();
}

/// <summary>A virtual disk.</summary>
public sealed record HardDiskConfiguration
{
    /// <summary>File on the host.</summary>
    public required string Path { get; init; }

    /// <summary>Format, never guessed from the content: <c>raw</c>.</summary>
    public string Format { get; init; } = "raw";

    /// <summary>The guest may not write.</summary>
    public bool ReadOnly { get; init; }

    /// <summary>What it may claim of its datastore; null when nothing was said of it.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public DiskIoSettings? IoControl { get; init; }
}

/// <summary>A virtual network adapter.</summary>
public sealed record NetworkAdapterConfiguration
{
    /// <summary>Network it is connected to: <c>NAT</c>, the user-mode network that needs no privilege.</summary>
    public string NetworkName { get; init; } = "NAT";

    /// <summary>MAC address, <c>00:50:56:xx:xx:xx</c>.</summary>
    public required string MacAddress { get; init; }

    /// <summary>Connected when the machine powers on.</summary>
    public bool StartConnected { get; init; } = true;

    /// <summary>Forwards from a host port to a guest port.</summary>
    public IReadOnlyList<PortForward> PortForwards { get; init; } = [];
}

/// <summary>A listening port of the host handed to a port in the guest.</summary>
/// <param name="Protocol"><c>tcp</c> or <c>udp</c>.</param>
/// <param name="HostAddress">Address to listen on, 127.0.0.1 unless said.</param>
/// <param name="HostPort">Port on the host; 0 takes any free one.</param>
/// <param name="GuestPort">Port in the guest.</param>
public sealed record PortForward(string Protocol, string HostAddress, int HostPort, int GuestPort);
