using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Boot;

/// <summary>Where an image that names its own addresses may be loaded.</summary>
internal static class KernelSpace
{
    /// <summary>True when a range is usable memory that direct boot itself does not need.</summary>
    public static bool IsFree(MemoryLayout layout, ulong address, ulong bytes) =>
        Within(address, bytes, BootArea.End, MemoryLayout.LowMemoryEnd)
        || Within(address, bytes, MemoryLayout.HighMemoryStart, layout.LowMemoryTop);

    /// <summary>Zeroes a range that was found free.</summary>
    public static unsafe void Clear(GuestMemory memory, ulong address, ulong bytes)
    {
        if (bytes == 0)
        {
            return;
        }

        if (!memory.TryPin(address, bytes, forWriting: true, out nint pointer))
        {
            throw new InvalidOperationException($"No memory at {address:x}h.");
        }

        // SAFETY: TryPin validated the whole range.
        System.Runtime.InteropServices.NativeMemory.Clear((void*)pointer, (nuint)bytes);
        memory.Unpin(address, bytes);
        memory.NotifyWritten(address, bytes);
    }

    public static MachineException NoRoom(string path, MemoryLayout layout, ulong first, ulong end) =>
        new($"The kernel '{path}' wants to lie at {first:x}h to {end - 1:x}h; this machine's {layout.MemoryBytes >> 20} MB leave {BootArea.End:x}h to {MemoryLayout.LowMemoryEnd - 1:x}h and {MemoryLayout.HighMemoryStart:x}h to {layout.LowMemoryTop - 1:x}h. Give it more memory, or link the kernel elsewhere.");

    private static bool Within(ulong address, ulong bytes, ulong first, ulong end) =>
        address >= first && address < end && bytes <= end - address;
}
