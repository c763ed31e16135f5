using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Posix;

/// <summary>A shared, writable mapping of a descriptor's pages, unmapped on disposal.</summary>
public sealed partial class FileMapping : SafeHandle
{
    private const int ProtRead = 1, ProtWrite = 2, MapShared = 1;

    private FileMapping(nint address, nuint length) : base(0, ownsHandle: true)
    {
        SetHandle(address);
        Length = length;
    }

    /// <summary>Length in bytes.</summary>
    public nuint Length { get; }

    /// <summary>Host address of the first byte.</summary>
    public nint Address => handle;

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Maps the first bytes of a descriptor.</summary>
    /// <exception cref="IOException">The system refused.</exception>
    public static FileMapping Map(FileDescriptor descriptor, nuint length)
    {
        nint address = Mmap(0, length, ProtRead | ProtWrite, MapShared, descriptor, 0);
        return address != -1
            ? new FileMapping(address, length)
            : throw new IOException($"Mapping {length} bytes failed: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}.");
    }

    /// <summary>Keeps the mapping alive until <see cref="SafeHandle.DangerousRelease"/>; false when it is already disposed.</summary>
    public bool TryHold()
    {
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
        }
        catch (ObjectDisposedException)
        {
            return false;
        }

        return held;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Munmap(handle, Length) == 0;

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Mmap(nint address, nuint length, int protection, int flags, SafeHandle descriptor, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Munmap(nint address, nuint length);
}
