namespace Hypervisor.Engine.Memory.Stores;

/// <summary>Where a compressed page lies.</summary>
/// <param name="Block">Page of the arena.</param>
/// <param name="Position">Place within the block.</param>
/// <param name="SizeClass">Size class of the block.</param>
internal readonly record struct CompressedPlace(int Block, byte Position, byte SizeClass);
