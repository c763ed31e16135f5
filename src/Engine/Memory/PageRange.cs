namespace Hypervisor.Engine.Memory;

/// <summary>Pages that follow one another in guest-physical memory.</summary>
/// <param name="GuestAddress">Address of the first, a multiple of 4096.</param>
/// <param name="Pages">How many.</param>
public readonly record struct PageRange(ulong GuestAddress, uint Pages);
