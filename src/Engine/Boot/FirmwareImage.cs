using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Boot;

/// <summary>
/// Firmware of a PC: read-only memory that ends at 4 GB, with the reset vector in its last 16 bytes, and a copy of its last 256 KB
/// below 1 MB, in memory that the firmware itself may write as on a machine with shadow RAM switched on. (SeaBIOS takes shadow RAM that
/// is already on for filled, and its larger image has its start-up code below E0000h.)
/// </summary>
public sealed class FirmwareImage : IDisposable
{
    private const int SmallestBytes = 64 << 10, LargestBytes = 8 << 20;
    private const int ShadowBytes = 256 << 10;
    private const int ResetVectorBytes = 16;

    // A UEFI firmware volume (PI specification 1.8, vol. 3, 3.2.1.1, EFI_FIRMWARE_VOLUME_HEADER).
    private const int FirmwareVolumeHeaderBytes = 56, FirmwareVolumeSignature = 40;

    /// <summary>Where distributions put SeaBIOS, the best one first.</summary>
    private static readonly string[] DefaultPaths =
    [
        "/usr/share/seabios/bios-256k.bin",
        "/usr/share/seabios/bios.bin",
        "/usr/share/qemu/bios-256k.bin",
        "/usr/share/qemu/bios.bin",
        "/usr/local/share/qemu/bios-256k.bin",
        "/opt/homebrew/share/qemu/bios-256k.bin",
    ];

    private readonly ImageFile _file;

    private FirmwareImage(ImageFile file) => _file = file;

    /// <summary>Path of the file.</summary>
    public string Path => _file.Path;

    /// <summary>First guest-physical address of the image.</summary>
    public ulong Address => Devices.PlatformLayout.HighMemoryBase - (ulong)_file.Length;

    /// <summary>Opens an image.</summary>
    /// <param name="path">Path on the host; null looks where distributions put SeaBIOS.</param>
    /// <exception cref="MachineException">There is none, or it cannot be firmware.</exception>
    public static FirmwareImage Open(string? path)
    {
        path ??= DefaultPaths.FirstOrDefault(File.Exists)
            ?? throw new MachineException("The machine has no kernel, and no firmware was found on this host. Give it a kernel (-KernelPath), or install the package 'seabios'.");
        var file = ImageFile.Open(path, "firmware");
        try
        {
            if (file.Length is < SmallestBytes or > LargestBytes || file.Length % (long)GuestMemory.PageSize != 0)
            {
                throw new MachineException($"The firmware '{path}' is {file.Length} bytes long; an image has 64 KB to 8 MB in whole pages. Take SeaBIOS's bios-256k.bin.");
            }

            byte[] header = new byte[FirmwareVolumeHeaderBytes];
            file.ReadExactly(0, header);
            if (header.AsSpan(FirmwareVolumeSignature).StartsWith("_FVH"u8))
            {
                // It would look for a chipset that it knows and wait for ever, without a word.
                throw new MachineException($"The firmware '{path}' is UEFI firmware, such as OVMF, which does not run on this machine's chipset. Take SeaBIOS's bios-256k.bin, or boot a kernel directly (-KernelPath).");
            }

            byte[] vector = new byte[ResetVectorBytes];
            file.ReadExactly(file.Length - ResetVectorBytes, vector);
            return vector.AsSpan().ContainsAnyExcept((byte)0) && vector.AsSpan().ContainsAnyExcept((byte)0xFF)
                ? new FirmwareImage(file)
                : throw new MachineException($"The firmware '{path}' has no code at its reset vector. Take SeaBIOS's bios-256k.bin.");
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>Adds the read-only memory. Called once, while the machine is assembled.</summary>
    public void AddBlock(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        memory.AddBlock(Address, (ulong)_file.Length, writable: false);
    }

    /// <summary>Loads the image and its copy below 1 MB; again at every reset, as the copy may have been changed.</summary>
    public void Load(GuestMemory memory)
    {
        ArgumentNullException.ThrowIfNull(memory);
        byte[] image = new byte[_file.Length];
        _file.ReadExactly(0, image);
        memory.Load(Address, image);
        int shadow = Math.Min(image.Length, ShadowBytes);
        memory.Load(MemoryLayout.HighMemoryStart - (ulong)shadow, image.AsSpan(image.Length - shadow));
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();
}
