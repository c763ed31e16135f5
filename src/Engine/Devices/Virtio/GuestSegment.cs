namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>A validated piece of guest memory that a request names. The guest may change the bytes at any time, never the place.</summary>
/// <param name="GuestAddress">Guest-physical address, for <see cref="Memory.GuestMemory.NotifyWritten"/>.</param>
/// <param name="Pointer">Host address; valid until the request is handed back or its chain used for another.</param>
/// <param name="Length">Bytes, at least 1.</param>
public readonly record struct GuestSegment(ulong GuestAddress, nint Pointer, uint Length)
{
    /// <summary>The bytes (at most 2 GB - 1 of them).</summary>
    public Span<byte> Span => Slice(0, (int)Math.Min(Length, int.MaxValue));

    /// <summary>Some of the bytes; the caller stays inside <see cref="Length"/>.</summary>
    public unsafe Span<byte> Slice(uint offset, int count) =>
        // SAFETY: the queue validated Length bytes at Pointer against guest memory, which lives longer than any request.
        new((byte*)Pointer + offset, count);
}
