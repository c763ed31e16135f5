using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Inventory;

/// <summary>Shares and limit of one disk, a part of <see cref="VMResourceConfiguration"/>, with PowerCLI's property names. <see cref="DiskIoControl"/> tells more.</summary>
public sealed class DiskResourceConfiguration
{
    // vSphere gives the disks of a machine's first controller the device keys from here on.
    private const int FirstDiskKey = 2000;

    internal DiskResourceConfiguration(HardDiskConfiguration disk, int index)
    {
        DiskIoSettings settings = disk.IoControl ?? DiskIoSettings.Default;
        (Key, Disk) = (FirstDiskKey + index, DiskIoControl.NameOf(index));
        (DiskSharesLevel, NumDiskShares, DiskLimitIOPerSecond) = (settings.SharesLevel, settings.Shares, settings.LimitIops);
    }

    /// <summary>Number of the device in the machine: 2000 for the first disk, 2001 for the second.</summary>
    public int Key { get; }

    /// <summary>Name of the disk, such as <c>Hard disk 1</c>.</summary>
    public string Disk { get; }

    /// <summary>Importance beside other disks of the datastore.</summary>
    public SharesLevel DiskSharesLevel { get; }

    /// <summary>Shares that the level stands for.</summary>
    public int NumDiskShares { get; }

    /// <summary>Most I/O operations a second, of up to 32 KB each; -1 for no limit.</summary>
    public long DiskLimitIOPerSecond { get; }

    /// <summary>The name of the disk, so that this can stand where a command asks for one.</summary>
    public override string ToString() => Disk;
}
