using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Hypervisor.Engine.Native.Files;

/// <summary>
/// File I/O on Linux at explicit offsets, straight into and out of unmanaged memory, with errors as numbers. Every call is safe for
/// concurrent use of one descriptor and returns a negative errno where it fails.
/// </summary>
public static unsafe partial class PositionalIo
{
    /// <summary>Interrupted system call.</summary>
    public const int Interrupted = 4;
    /// <summary>No space left on device.</summary>
    public const int NoSpace = 28;
    /// <summary>File too large: the file size limit of the process or the file system.</summary>
    public const int FileTooLarge = 27;
    /// <summary>Disk quota exceeded.</summary>
    public const int QuotaExceeded = 122;
    /// <summary>Operation not supported by the file system.</summary>
    public const int NotSupported = 95;
    /// <summary>System call not implemented.</summary>
    public const int NotImplemented = 38;

    /// <summary>Most pieces a call takes (IOV_MAX).</summary>
    public const int MaxVectors = 1024;

    private const int PunchHole = 2, KeepSize = 1, ZeroRange = 0x10;

    /// <summary>preadv(2): bytes read, 0 at the end of the file, or -errno.</summary>
    /// <param name="file">An open file.</param>
    /// <param name="vectors">Where the bytes go; must stay valid and writable during the call.</param>
    /// <param name="count">Pieces, up to <see cref="MaxVectors"/>.</param>
    /// <param name="offset">Byte offset in the file.</param>
    public static nint Read(SafeFileHandle file, IoVector* vectors, int count, long offset) => Result(Preadv(file, vectors, count, offset));

    /// <summary>pwritev(2): bytes written, or -errno.</summary>
    /// <param name="file">An open file.</param>
    /// <param name="vectors">Where the bytes come from; must stay valid during the call.</param>
    /// <param name="count">Pieces, up to <see cref="MaxVectors"/>.</param>
    /// <param name="offset">Byte offset in the file.</param>
    public static nint Write(SafeFileHandle file, IoVector* vectors, int count, long offset) => Result(Pwritev(file, vectors, count, offset));

    /// <summary>fdatasync(2): 0 once all written data is on stable storage, or -errno.</summary>
    public static int Synchronize(SafeFileHandle file) => (int)Result(Fdatasync(file));

    /// <summary>Gives the range's blocks back to the file system; it reads as zeroes then, and the length stays. 0 or -errno.</summary>
    public static int Punch(SafeFileHandle file, long offset, long length) => (int)Result(Fallocate(file, PunchHole | KeepSize, offset, length));

    /// <summary>Makes the range read as zeroes and keeps its blocks reserved. 0 or -errno.</summary>
    public static int Zero(SafeFileHandle file, long offset, long length) => (int)Result(Fallocate(file, ZeroRange | KeepSize, offset, length));

    private static nint Result(nint returned) => returned >= 0 ? returned : -Marshal.GetLastPInvokeError();

    [LibraryImport("libc", EntryPoint = "preadv", SetLastError = true)]
    private static partial nint Preadv(SafeFileHandle file, IoVector* vectors, int count, long offset);

    [LibraryImport("libc", EntryPoint = "pwritev", SetLastError = true)]
    private static partial nint Pwritev(SafeFileHandle file, IoVector* vectors, int count, long offset);

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    private static partial int Fdatasync(SafeFileHandle file);

    [LibraryImport("libc", EntryPoint = "fallocate", SetLastError = true)]
    private static partial int Fallocate(SafeFileHandle file, int mode, long offset, long length);
}
