using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Boot;

/// <summary>What a loader needs to know besides the image.</summary>
public sealed record BootRequest
{
    /// <summary>The machine's memory.</summary>
    public required GuestMemory Memory { get; init; }

    /// <summary>Its layout.</summary>
    public required MemoryLayout Layout { get; init; }

    /// <summary>Command line, without a terminating zero.</summary>
    public string CommandLine { get; init; } = "";

    /// <summary>Initial RAM disk, or Multiboot modules; the first is the initial RAM disk where there can be only one.</summary>
    public IReadOnlyList<ImageFile> Modules { get; init; } = [];

    /// <summary>Guest-physical address of the ACPI root pointer; 0 for none.</summary>
    public ulong RsdpAddress { get; init; }
}
