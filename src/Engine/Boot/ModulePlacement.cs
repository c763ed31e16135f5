using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Boot;

/// <summary>Finds room for initial RAM disks and modules: as high as the protocol and the kernel let them lie.</summary>
internal static class ModulePlacement
{
    private const ulong PageBytes = 4096;

    /// <summary>Finds room for one module and loads it.</summary>
    /// <param name="request">The machine.</param>
    /// <param name="module">File.</param>
    /// <param name="kernelEnd">First address after the kernel, with what it needs to unpack itself.</param>
    /// <param name="limit">First address that the module must not reach.</param>
    /// <param name="aboveFourGigabytes">The protocol lets it lie there when there is no room below.</param>
    /// <returns>Address of its first byte, on a page.</returns>
    public static ulong Load(BootRequest request, ImageFile module, ulong kernelEnd, ulong limit, bool aboveFourGigabytes = false)
    {
        ulong bytes = (ulong)module.Length;
        ulong floor = Math.Max(kernelEnd, MemoryLayout.HighMemoryStart);
        ulong ceiling = Math.Min(limit, request.Layout.LowMemoryTop);
        ulong address;
        if (ceiling > floor && ceiling - floor >= bytes && AlignDown(ceiling - bytes) >= floor)
        {
            address = AlignDown(ceiling - bytes);
        }
        else if (aboveFourGigabytes && request.Layout.HighMemoryBytes >= bytes)
        {
            address = AlignDown(request.Layout.HighMemoryTop - bytes);
        }
        else
        {
            ulong room = ceiling > floor ? ceiling - floor : 0;
            throw new MachineException(
                $"The initial RAM disk or module '{module.Path}' of {Megabytes(bytes)} MB does not fit: after the kernel there are {Megabytes(room)} MB left. Give the machine more memory than {Megabytes(request.Layout.MemoryBytes)} MB.");
        }

        module.LoadInto(request.Memory, address, 0, bytes);
        return address;
    }

    private static ulong AlignDown(ulong value) => value & ~(PageBytes - 1);

    private static ulong Megabytes(ulong bytes) => (bytes + (1 << 20) - 1) >> 20;
}
