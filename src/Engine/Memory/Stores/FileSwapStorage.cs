using Hypervisor.Engine.Native.Files;
using Microsoft.Win32.SafeHandles;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>A swap file on a disk: only its owner may open it, and it goes with its user.</summary>
internal sealed unsafe class FileSwapStorage : SwapStorage
{
    // ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL and ERROR_DISK_QUOTA_EXCEEDED of winerror.h, as HRESULTs.
    private const int WindowsHandleDiskFull = unchecked((int)0x8007_0027), WindowsDiskFull = unchecked((int)0x8007_0070),
        WindowsQuota = unchecked((int)0x8007_050F);

    private readonly string _path;

    // Only a stream gives a new file its permissions at once; what is used is its handle.
    private readonly FileStream _stream;
    private readonly SafeFileHandle _file;

    private FileSwapStorage(string path, FileStream stream)
    {
        _path = path;
        _stream = stream;
        _file = stream.SafeFileHandle;
    }

    /// <summary>Makes the file anew; one that a process left behind is deleted.</summary>
    /// <exception cref="IOException">Another process has the file open, or it cannot be made.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written.</exception>
    public static FileSwapStorage Create(string path)
    {
        DeleteStale(path);
        var options = new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Share = FileShare.None,
            BufferSize = 0,
        };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        return new FileSwapStorage(path, new FileStream(path, options));
    }

    /// <summary>Deletes a file that a process left behind; nothing when there is none.</summary>
    /// <exception cref="IOException">Another process has the file open.</exception>
    public static void DeleteStale(string path)
    {
        try
        {
            // The lock that the user holds goes with the process: who can take it deletes nobody's memory.
            using (File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.None))
            {
                if (!OperatingSystem.IsWindows())
                {
                    File.Delete(path);
                    return;
                }
            }

            // Windows deletes no file that is open like this, but then neither opens one that another has.
            File.Delete(path);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return;
        }
    }

    public override long Read(byte* buffer, int length, long offset)
    {
        if (OperatingSystem.IsLinux())
        {
            var vector = new IoVector { Base = (nint)buffer, Length = (nuint)length };
            return PositionalIo.Read(_file, &vector, 1, offset);
        }

        try
        {
            return RandomAccess.Read(_file, new Span<byte>(buffer, length), offset);
        }
        catch (IOException exception)
        {
            return ErrorOf(exception);
        }
    }

    public override long Write(byte* buffer, int length, long offset)
    {
        if (OperatingSystem.IsLinux())
        {
            var vector = new IoVector { Base = (nint)buffer, Length = (nuint)length };
            return PositionalIo.Write(_file, &vector, 1, offset);
        }

        try
        {
            RandomAccess.Write(_file, new ReadOnlySpan<byte>(buffer, length), offset);
            return length;
        }
        catch (IOException exception)
        {
            return ErrorOf(exception);
        }
    }

    public override bool Punch(long offset, long length) => OperatingSystem.IsLinux() && PositionalIo.Punch(_file, offset, length) == 0;

    public override bool IsNoRoom(long error) => OperatingSystem.IsWindows()
        ? (int)error is WindowsHandleDiskFull or WindowsDiskFull or WindowsQuota
        : OperatingSystem.IsMacOS() ? -error is PositionalIo.NoSpace or PositionalIo.FileTooLarge or 69 // EDQUOT of sys/errno.h
        : base.IsNoRoom(error);

    public override void Dispose()
    {
        // Deleted while it is still locked: a next start cannot come between.
        if (!OperatingSystem.IsWindows())
        {
            File.Delete(_path);
        }

        _stream.Dispose();
        if (OperatingSystem.IsWindows())
        {
            File.Delete(_path);
        }
    }

    // HRESULTs are negative already; on Unix .NET puts errno there.
    private static long ErrorOf(IOException exception) => exception.HResult < 0 ? exception.HResult : -Math.Max(1, exception.HResult);
}
