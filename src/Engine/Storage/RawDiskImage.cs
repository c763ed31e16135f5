using Hypervisor.Engine.Native.Files;
using Microsoft.Win32.SafeHandles;

namespace Hypervisor.Engine.Storage;

/// <summary>
/// A disk whose bytes are those of a file, in place. Nothing is ever read from the content to decide what it is. The file is locked
/// while it is open: exclusively for writing, shared for reading.
/// </summary>
public sealed unsafe class RawDiskImage : IDiskImage
{
    /// <summary>Bytes of a sector; a file's last partial sector is not part of the disk.</summary>
    public const int SectorSize = 512;

    private const int ZeroChunk = 1 << 20;

    private readonly SafeFileHandle _file;

    private RawDiskImage(string path, SafeFileHandle file, long length, bool readOnly)
    {
        (Name, _file, Length, IsReadOnly) = (path, file, length, readOnly);
    }

    /// <inheritdoc/>
    public string Name { get; }

    /// <inheritdoc/>
    public long Length { get; }

    /// <inheritdoc/>
    public bool IsReadOnly { get; }

    /// <summary>Opens a file and locks it.</summary>
    /// <exception cref="StorageException">The file is missing, not permitted, in use, empty, or no regular file.</exception>
    public static RawDiskImage Open(string path, bool readOnly = false)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string full = Path.GetFullPath(path);
        if (Directory.Exists(full))
        {
            throw new StorageException($"'{full}' is a folder, not a disk. Name the disk's file.");
        }

        SafeFileHandle file;
        try
        {
            file = File.OpenHandle(full, FileMode.Open, readOnly ? FileAccess.Read : FileAccess.ReadWrite, readOnly ? FileShare.Read : FileShare.None, FileOptions.RandomAccess);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new StorageException($"There is no disk file '{full}'. Check the path, or create the file first.", e);
        }
        catch (UnauthorizedAccessException e)
        {
            throw new StorageException($"You may not {(readOnly ? "read" : "write")} the disk file '{full}'. Change its permissions{(readOnly ? "" : ", or attach it read-only")}.", e);
        }
        catch (IOException e)
        {
            throw new StorageException($"The disk file '{full}' cannot be opened; it may be in use by another machine or program: {e.Message} Power that machine off, or attach the disk read-only to both.", e);
        }

        try
        {
            long length = RandomAccess.GetLength(file) / SectorSize * SectorSize;
            return length > 0
                ? new RawDiskImage(full, file, length, readOnly)
                : throw new StorageException($"The disk file '{full}' has no sectors. A raw disk is a regular file of at least {SectorSize} bytes; make one with the size you want first.");
        }
        catch (Exception e)
        {
            file.Dispose();
            if (e is StorageException)
            {
                throw;
            }

            throw new StorageException($"'{full}' is no regular file and cannot be used as a raw disk. Name a regular file.", e);
        }
    }

    /// <inheritdoc/>
    public DiskStatus Read(long offset, Span<IoVector> vectors) => Transfer(offset, vectors, write: false);

    /// <inheritdoc/>
    public DiskStatus Write(long offset, Span<IoVector> vectors) => IsReadOnly ? DiskStatus.ReadOnly : Transfer(offset, vectors, write: true);

    /// <inheritdoc/>
    public DiskStatus Flush()
    {
        if (IsReadOnly)
        {
            return DiskStatus.Ok;
        }

        if (OperatingSystem.IsLinux())
        {
            return StatusOf(PositionalIo.Synchronize(_file));
        }

        try
        {
            RandomAccess.FlushToDisk(_file);
            return DiskStatus.Ok;
        }
        catch (IOException)
        {
            return DiskStatus.IoError;
        }
    }

    /// <inheritdoc/>
    public DiskStatus Discard(long offset, long length)
    {
        if (!Contains(offset, length))
        {
            return DiskStatus.OutOfRange;
        }

        if (IsReadOnly)
        {
            return DiskStatus.ReadOnly;
        }

        // A discard is a hint: a file system without holes is no error.
        int result = length > 0 && OperatingSystem.IsLinux() ? PositionalIo.Punch(_file, offset, length) : 0;
        return IsUnsupported(result) ? DiskStatus.Ok : StatusOf(result);
    }

    /// <inheritdoc/>
    public DiskStatus WriteZeroes(long offset, long length, bool mayUnmap)
    {
        if (!Contains(offset, length))
        {
            return DiskStatus.OutOfRange;
        }

        if (IsReadOnly)
        {
            return DiskStatus.ReadOnly;
        }

        if (length > 0 && OperatingSystem.IsLinux())
        {
            int result = mayUnmap ? PositionalIo.Punch(_file, offset, length) : PositionalIo.Zero(_file, offset, length);
            if (!IsUnsupported(result))
            {
                return StatusOf(result);
            }
        }

        fixed (byte* zeroes = ZeroPage.Bytes)
        {
            while (length > 0)
            {
                var piece = new IoVector { Base = (nint)zeroes, Length = (nuint)Math.Min(length, ZeroChunk) };
                long count = (long)piece.Length;
                var status = Transfer(offset, new Span<IoVector>(ref piece), write: true);
                if (status != DiskStatus.Ok)
                {
                    return status;
                }

                offset += count;
                length -= count;
            }
        }

        return DiskStatus.Ok;
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static bool IsUnsupported(int result) => -result is PositionalIo.NotSupported or PositionalIo.NotImplemented;

    private static DiskStatus StatusOf(nint result) => result >= 0
        ? DiskStatus.Ok
        : -result is PositionalIo.NoSpace or PositionalIo.QuotaExceeded or PositionalIo.FileTooLarge ? DiskStatus.NoSpace : DiskStatus.IoError;

    private bool Contains(long offset, long length) => offset >= 0 && length >= 0 && offset <= Length && length <= Length - offset;

    private DiskStatus Transfer(long offset, Span<IoVector> vectors, bool write)
    {
        long total = 0;
        foreach (ref readonly var vector in vectors)
        {
            if (vector.Length > (nuint)(Length - total))
            {
                return DiskStatus.OutOfRange;
            }

            total += (long)vector.Length;
        }

        if (!Contains(offset, total))
        {
            return DiskStatus.OutOfRange;
        }

        int first = 0;
        while (total > 0)
        {
            nint done = OperatingSystem.IsLinux() ? TransferSome(offset, vectors[first..], write) : TransferOne(offset, vectors[first], write);
            if (done == -PositionalIo.Interrupted)
            {
                continue;
            }

            if (done <= 0)
            {
                // 0 means that someone cut the file short beneath us.
                return done == 0 ? DiskStatus.IoError : StatusOf(done);
            }

            offset += done;
            total -= done;
            for (nuint left = (nuint)done; left > 0 || (first < vectors.Length && vectors[first].Length == 0);)
            {
                ref var vector = ref vectors[first];
                nuint taken = Math.Min(left, vector.Length);
                vector.Base += (nint)taken;
                vector.Length -= taken;
                left -= taken;
                first += vector.Length == 0 ? 1 : 0;
            }
        }

        return DiskStatus.Ok;
    }

    private nint TransferSome(long offset, Span<IoVector> vectors, bool write)
    {
        int count = Math.Min(vectors.Length, PositionalIo.MaxVectors);
        fixed (IoVector* pieces = vectors)
        {
            return write ? PositionalIo.Write(_file, pieces, count, offset) : PositionalIo.Read(_file, pieces, count, offset);
        }
    }

    // Elsewhere than on Linux: one piece at a time through the runtime.
    private nint TransferOne(long offset, IoVector vector, bool write)
    {
        // SAFETY: the caller of Read and Write keeps the memory valid during the call.
        var bytes = new Span<byte>((void*)vector.Base, (int)Math.Min(vector.Length, 1 << 30));
        try
        {
            if (!write)
            {
                return RandomAccess.Read(_file, bytes, offset);
            }

            RandomAccess.Write(_file, bytes, offset);
            return bytes.Length;
        }
        catch (IOException e)
        {
            // ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL.
            return (e.HResult & 0xFFFF) is 112 or 39 ? -PositionalIo.NoSpace : -5;
        }
    }

    private static class ZeroPage
    {
        public static readonly byte[] Bytes = GC.AllocateArray<byte>(ZeroChunk, pinned: true);
    }
}
