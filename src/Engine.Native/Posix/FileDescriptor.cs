using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Posix;

/// <summary>A file descriptor that is closed on disposal. Calls answer the negated error number where the system call failed.</summary>
public partial class FileDescriptor : SafeHandle
{
    private const int ReadWrite = 2, CloseOnExec = 0x80000;

    /// <summary>Takes ownership of a descriptor.</summary>
    public FileDescriptor(int descriptor) : base(-1, ownsHandle: true) => SetHandle(descriptor);

    /// <inheritdoc/>
    public override bool IsInvalid => handle < 0;

    /// <summary>The number; valid while the object is not disposed.</summary>
    public int Number => (int)handle;

    /// <summary>Opens a file for reading and writing; the negated error number instead of a descriptor where that fails.</summary>
    public static int TryOpen(string path, out FileDescriptor? descriptor)
    {
        int number = Open(path, ReadWrite | CloseOnExec);
        if (number < 0)
        {
            descriptor = null;
            return -Marshal.GetLastPInvokeError();
        }

        descriptor = new FileDescriptor(number);
        return 0;
    }

    /// <summary>Issues an ioctl with an integer or address argument.</summary>
    public int Control(uint request, nint argument = 0)
    {
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
            return Control((int)handle, request, argument);
        }
        finally
        {
            if (held)
            {
                DangerousRelease();
            }
        }
    }

    /// <summary>Issues an ioctl whose argument is a structure.</summary>
    public unsafe int Control<T>(uint request, ref T argument) where T : unmanaged
    {
        // SAFETY: the pin lasts for the call; the request's number encodes sizeof(T), which the layout tests assert.
        fixed (T* pointer = &argument)
        {
            return Control(request, (nint)pointer);
        }
    }

    /// <summary>Issues an ioctl on a bare descriptor, which the caller keeps open; for loops that hold it across many calls.</summary>
    public static int Control(int descriptor, uint request, nint argument)
    {
        int result = Ioctl(descriptor, request, argument);

        // The runtime preserves errno over the return transition (SetLastError would do no more, but on every call).
        return result >= 0 ? result : -Marshal.GetLastSystemError();
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Close((int)handle) == 0;

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    // Variadic in C; on x86-64 and on Linux/arm64 a call without floating-point arguments is passed the same way.
    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Ioctl(int descriptor, nuint request, nint argument);
}
