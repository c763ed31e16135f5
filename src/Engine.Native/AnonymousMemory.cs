using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native;

/// <summary>
/// Page-aligned, zeroed memory outside the GC heap, taken from the operating system and given back on disposal. Pages cost
/// nothing until they are touched.
/// </summary>
public sealed partial class AnonymousMemory : SafeHandle
{
    private const int ProtRead = 1, ProtWrite = 2;
    private const int MapPrivate = 2, MapAnonymous = 0x20, MapNoReserve = 0x4000;
    private const nuint PageBytes = 4096;
    private const uint MemCommit = 0x1000, MemReserve = 0x2000, MemRelease = 0x8000, PageReadWrite = 4;

    private AnonymousMemory(nint address, nuint length) : base(0, ownsHandle: true)
    {
        SetHandle(address);
        Length = length;
    }

    /// <summary>Length in bytes.</summary>
    public nuint Length { get; }

    /// <summary>Host address of the first byte; valid until disposal.</summary>
    public nint Address => handle;

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Maps memory.</summary>
    /// <param name="length">Bytes, a multiple of 4096, not 0.</param>
    /// <exception cref="InsufficientMemoryException">The operating system has not that much to give.</exception>
    public static AnonymousMemory Allocate(nuint length) => Allocate(length, alignment: 1, remainder: 0);

    /// <summary>Maps memory whose address leaves a remainder (as far as the operating system lets one choose, which Windows does not).</summary>
    /// <param name="length">Bytes, a multiple of 4096, not 0.</param>
    /// <param name="alignment">A power of two, such as the size of a large page.</param>
    /// <param name="remainder">What the address is to leave when it is divided by <paramref name="alignment"/>, a multiple of 4096.</param>
    /// <exception cref="InsufficientMemoryException">The operating system has not that much to give.</exception>
    public static AnonymousMemory Allocate(nuint length, nuint alignment, nuint remainder)
    {
        nint address;
        if (OperatingSystem.IsWindows())
        {
            address = VirtualAlloc(0, length, MemCommit | MemReserve, PageReadWrite);
        }
        else
        {
            // macOS spells MAP_ANON 0x1000 and has no MAP_NORESERVE.
            int flags = OperatingSystem.IsMacOS() ? MapPrivate | 0x1000 : MapPrivate | MapAnonymous | MapNoReserve;
            nuint more = alignment > PageBytes ? alignment : 0;
            address = Mmap(0, length + more, ProtRead | ProtWrite, flags, -1, 0);
            address = address == -1 ? 0 : address;
            if (address != 0 && more != 0)
            {
                address = Trim(address, length, alignment, remainder);
            }
        }

        return address != 0
            ? new AnonymousMemory(address, length)
            : throw new InsufficientMemoryException($"The operating system refused {length / (1024 * 1024)} MB of memory (error {Marshal.GetLastPInvokeError()}).");
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() =>
        OperatingSystem.IsWindows() ? VirtualFree(handle, 0, MemRelease) != 0 : Munmap(handle, Length) == 0;

    // What was mapped too much goes back on both sides. Each is whole pages; an empty one is not the kernel's to unmap.
    private static nint Trim(nint mapped, nuint length, nuint alignment, nuint remainder)
    {
        nuint before = (remainder - (nuint)mapped) & (alignment - 1), after = alignment - before;
        nint address = mapped + (nint)before;
        if (before != 0)
        {
            _ = Munmap(mapped, before);
        }

        _ = Munmap(address + (nint)length, after);
        return address;
    }

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Mmap(nint address, nuint length, int protection, int flags, int descriptor, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Munmap(nint address, nuint length);

    [LibraryImport("kernel32", EntryPoint = "VirtualAlloc", SetLastError = true)]
    private static partial nint VirtualAlloc(nint address, nuint length, uint type, uint protection);

    [LibraryImport("kernel32", EntryPoint = "VirtualFree")]
    private static partial int VirtualFree(nint address, nuint length, uint type);
}
