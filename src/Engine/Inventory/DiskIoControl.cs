using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Inventory;

/// <summary>What a disk may claim of its datastore, with PowerCLI's property names. A snapshot.</summary>
public sealed class DiskIoControl
{
    private const decimal BytesPerMB = 1 << 20;

    internal DiskIoControl(VirtualMachineConfiguration machine, int index, DiskIo? running)
    {
        HardDiskConfiguration disk = machine.Disks[index];
        DiskIoSettings settings = disk.IoControl ?? DiskIoSettings.Default;
        (VM, VMId, Index, Disk, Path) = (machine.Name, machine.Id, index, NameOf(index), disk.Path);
        Datastore = running?.Datastore.Name ?? DatastoreName.Of(disk.Path);
        (DiskSharesLevel, NumDiskShares) = (settings.SharesLevel, settings.Shares);
        (DiskLimitIOPerSecond, DiskReservationIOPerSecond) = (settings.LimitIops, settings.ReservationIops);
        DiskLimitMBPerSecond = settings.LimitBytesPerSecond < 0 ? settings.LimitBytesPerSecond : Math.Round(settings.LimitBytesPerSecond / BytesPerMB, 3);
        Statistics = running?.Statistics;
    }

    /// <summary>Name of the machine.</summary>
    public string VM { get; }

    /// <summary>Identity of the machine.</summary>
    public Guid VMId { get; }

    /// <summary>Name of the disk, such as <c>Hard disk 1</c>.</summary>
    public string Disk { get; }

    /// <summary>Position among the machine's disks, from 0.</summary>
    public int Index { get; }

    /// <summary>File on the host.</summary>
    public string Path { get; }

    /// <summary>Datastore that the file is on: the mount point of its file system.</summary>
    public string Datastore { get; }

    /// <summary>Importance beside other disks of the datastore.</summary>
    public SharesLevel DiskSharesLevel { get; }

    /// <summary>Shares that the level stands for.</summary>
    public int NumDiskShares { get; }

    /// <summary>Most I/O operations a second, of up to 32 KB each; -1 for no limit.</summary>
    public long DiskLimitIOPerSecond { get; }

    /// <summary>Most MB (2^20 bytes) a second; -1 for no limit.</summary>
    public decimal DiskLimitMBPerSecond { get; }

    /// <summary>I/O operations a second that the disk gets before others get any; 0 for none.</summary>
    public long DiskReservationIOPerSecond { get; }

    /// <summary>Counters of the present run in this process, or null.</summary>
    public DiskIoStatistics? Statistics { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{VM}, {Disk}";

    internal static string NameOf(int index) => $"Hard disk {index + 1}";
}
