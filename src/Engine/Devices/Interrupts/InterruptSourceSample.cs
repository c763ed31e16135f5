namespace Hypervisor.Engine.Devices.Interrupts;

/// <summary>Something that interrupts a machine's processors, and how often it did since power-on.</summary>
/// <param name="Device">The device, such as <c>network adapter 1, queue 0</c>.</param>
/// <param name="Vector">The way it takes: <c>MSI-X 0</c>, a vector of the device's own table, or <c>IRQ 4</c>, a line of the platform.</param>
/// <param name="Count">Messages sent, or times that the line was asserted.</param>
public sealed record InterruptSourceSample(string Device, string Vector, long Count);
