using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Posix;

/// <summary>Anonymous memory at a chosen address, for generated code and data that must lie where the code says. Linux only.</summary>
public sealed partial class FixedMapping : SafeHandle
{
    private const int MapPrivate = 2, MapAnonymous = 0x20, MapNoReserve = 0x4000, MapFixedNoReplace = 0x10_0000;

    private readonly nuint _length;

    private FixedMapping(nint address, nuint length) : base(0, ownsHandle: true)
    {
        SetHandle(address);
        _length = length;
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Maps memory without access rights.</summary>
    /// <param name="address">Host address, a multiple of 4096, where nothing is mapped.</param>
    /// <param name="length">Bytes, a multiple of 4096.</param>
    /// <exception cref="IOException">The range is taken or refused.</exception>
    public static FixedMapping Reserve(nint address, nuint length)
    {
        nint at = Mmap(address, length, 0, MapPrivate | MapAnonymous | MapNoReserve | MapFixedNoReplace, -1, 0);
        if (at == address)
        {
            return new FixedMapping(address, length);
        }

        if (at != -1)
        {
            // A kernel older than 4.17 takes the address as a hint.
            _ = Munmap(at, length);
        }

        throw new IOException($"Mapping {length} bytes at {address:x}h failed (error {Marshal.GetLastPInvokeError()}).");
    }

    /// <summary>Sets the rights of whole pages.</summary>
    /// <exception cref="IOException">The system refused, for example writable and executable at once.</exception>
    public void Protect(nint offset, nuint length, bool read, bool write, bool execute)
    {
        int protection = (read ? 1 : 0) | (write ? 2 : 0) | (execute ? 4 : 0);
        if (Mprotect(handle + offset, length, protection) != 0)
        {
            throw new IOException($"Changing the protection of memory failed (error {Marshal.GetLastPInvokeError()}).");
        }
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => Munmap(handle, _length) == 0;

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Mmap(nint address, nuint length, int protection, int flags, int descriptor, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Munmap(nint address, nuint length);

    [LibraryImport("libc", EntryPoint = "mprotect", SetLastError = true)]
    private static partial int Mprotect(nint address, nuint length, int protection);
}
