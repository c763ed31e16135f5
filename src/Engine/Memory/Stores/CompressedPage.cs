namespace Hypervisor.Engine.Memory.Stores;

/// <summary>A page in a compression cache.</summary>
/// <param name="Slot">Its slot.</param>
/// <param name="Page">The number that the page was stored with.</param>
internal readonly record struct CompressedPage(int Slot, long Page);
