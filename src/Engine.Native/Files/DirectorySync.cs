using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Files;

/// <summary>Makes a rename in a directory durable: fsync(2) of the directory itself. Windows journals renames and needs nothing.</summary>
public static partial class DirectorySync
{
    private const int ReadOnly = 0;

    /// <summary>Returns when the directory's entries are on stable storage.</summary>
    /// <exception cref="IOException">The directory cannot be opened or synchronised.</exception>
    public static void Flush(string directory)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        int descriptor = Open(directory, ReadOnly);
        if (descriptor < 0)
        {
            throw Failure("open", directory);
        }

        try
        {
            if (Fsync(descriptor) != 0)
            {
                throw Failure("synchronise", directory);
            }
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    private static IOException Failure(string verb, string directory)
    {
        int error = Marshal.GetLastPInvokeError();
        return new IOException($"Cannot {verb} the folder '{directory}': {new Win32Exception(error).Message}.");
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int Fsync(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
