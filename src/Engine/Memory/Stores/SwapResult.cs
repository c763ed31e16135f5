namespace Hypervisor.Engine.Memory.Stores;

/// <summary>What came of writing or reading swapped pages.</summary>
internal enum SwapResult
{
    /// <summary>Done, all of it.</summary>
    Done,

    /// <summary>The disk, the quota or the file's limit is full. Pages that were not written are where they were; try again when there is room.</summary>
    NoRoom,

    /// <summary>The disk reported an error; <see cref="SwapFile.LastError"/> says which. Nothing is lost by trying again.</summary>
    IoError,

    /// <summary>What was read is not what was written: the disk or somebody changed it. Reading again may help if it was the reading that failed.</summary>
    Damaged,
}
