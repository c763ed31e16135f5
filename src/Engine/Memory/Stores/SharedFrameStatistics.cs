namespace Hypervisor.Engine.Memory.Stores;

/// <summary>Counts of the host's shared frames, in pages of 4096 bytes.</summary>
/// <param name="Frames">Frames that hold shared content, without the zero frame.</param>
/// <param name="References">Pages that refer to those frames.</param>
/// <param name="ZeroReferences">Pages that refer to the zero frame.</param>
/// <param name="HeldBytes">Host memory behind the frames, their tables and the hints not counted.</param>
internal readonly record struct SharedFrameStatistics(long Frames, long References, long ZeroReferences, long HeldBytes)
{
    /// <summary>Pages that need no memory of their own, because another with the same content has it.</summary>
    public long SavedPages => References - Frames + ZeroReferences;
}
