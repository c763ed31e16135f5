using Hypervisor.Engine.Native.Files;

namespace Hypervisor.Engine.Storage;

/// <summary>How a disk operation ended.</summary>
public enum DiskStatus
{
    /// <summary>Done.</summary>
    Ok,
    /// <summary>The host could not read or write.</summary>
    IoError,
    /// <summary>The host's file system is full or a quota or size limit is reached.</summary>
    NoSpace,
    /// <summary>The disk is read-only.</summary>
    ReadOnly,
    /// <summary>The range passes the end of the disk.</summary>
    OutOfRange,
}

/// <summary>
/// The content of a virtual disk. All members are safe for concurrent use: a caller has as many operations in flight as it has threads
/// in calls. Errors are results, not exceptions; nothing allocates. Offsets and lengths are in bytes.
/// </summary>
public interface IDiskImage : IDisposable
{
    /// <summary>What messages call it: the path of the file on the host.</summary>
    string Name { get; }

    /// <summary>Capacity in bytes, a multiple of 512.</summary>
    long Length { get; }

    /// <summary>Writes are refused.</summary>
    bool IsReadOnly { get; }

    /// <summary>Fills memory with the bytes at an offset.</summary>
    /// <param name="offset">Where on the disk.</param>
    /// <param name="vectors">At most <see cref="PositionalIo.MaxVectors"/> pieces; the call may change them.</param>
    DiskStatus Read(long offset, Span<IoVector> vectors);

    /// <summary>Writes memory to an offset. Durable only after <see cref="Flush"/>.</summary>
    /// <param name="offset">Where on the disk.</param>
    /// <param name="vectors">At most <see cref="PositionalIo.MaxVectors"/> pieces; the call may change them.</param>
    DiskStatus Write(long offset, Span<IoVector> vectors);

    /// <summary>Returns once every write that completed before the call is on stable storage.</summary>
    DiskStatus Flush();

    /// <summary>Says that the content of a range is no longer needed; it may read as zeroes or as before.</summary>
    DiskStatus Discard(long offset, long length);

    /// <summary>Makes a range read as zeroes.</summary>
    /// <param name="offset">Where on the disk.</param>
    /// <param name="length">Bytes.</param>
    /// <param name="mayUnmap">The space may be given back to the host.</param>
    DiskStatus WriteZeroes(long offset, long length, bool mayUnmap);
}
