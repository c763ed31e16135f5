using System.Buffers.Binary;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Guests.Support;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Firmware;

/// <summary>SeaBIOS's own virtio driver boots from a disk and moves sectors: a driver that is not ours, in real mode.</summary>
public sealed class DiskBootTests : IDisposable
{
    private const int Sector = 512;
    private const ushort BootAddress = 0x7C00, Buffer = 0x8000;
    private const ushort ReadPacket = 0x100, WritePacket = 0x110;
    private const byte Copied = 7, Refused = 8;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private readonly string _folder = Directory.CreateTempSubdirectory("disk-boot").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [SeaBiosTheory]
    [MemberData(nameof(Backends.Present), MemberType = typeof(Backends))]
    public void A_boot_sector_reads_and_writes_its_disk_through_the_firmware(BackendKind backend)
    {
        byte[] disk = new byte[1 << 20];
        BootSector().CopyTo(disk, 0);
        new Random(1).NextBytes(disk.AsSpan(Sector, Sector));
        string path = Path.Combine(_folder, "disk.raw");
        File.WriteAllBytes(path, disk);
        using (var guest = new TestGuest(backend, kernel: null, configuration => configuration with
        {
            FirmwarePath = GuestAssets.SeaBios,
            Disks = [new HardDiskConfiguration { Path = path }],
        }))
        {
            guest.Start();
            Assert.True(guest.Machine.Stopped.Wait(Patience), TestGuest.ReadAll(((Machine)guest.Machine).FirmwareLog!));
            Assert.Equal(Copied, guest.Machine.Stopped.Result.ExitCode);
        }

        disk.AsSpan(Sector, Sector).CopyTo(disk.AsSpan(2 * Sector));
        Assert.Equal(disk, File.ReadAllBytes(path));
    }

    // Copies sector 1 to sector 2 with INT 13h, functions 42h and 43h; DL still names the drive the firmware booted from.
    private static byte[] BootSector()
    {
        var code = new Assembler(16);
        var failed = code.CreateLabel();
        var exit = code.CreateLabel();
        code.xor(ax, ax);
        code.mov(ds, ax);
        code.mov(ss, ax);
        code.mov(sp, BootAddress);
        code.mov(si, BootAddress + ReadPacket);
        code.mov(ah, 0x42);
        code.@int(0x13);
        code.jc(failed);
        code.mov(si, BootAddress + WritePacket);
        code.mov(ax, 0x4300);
        code.@int(0x13);
        code.jc(failed);
        code.mov(al, Copied);
        code.jmp(exit);
        code.Label(ref failed);
        code.mov(al, Refused);
        code.Label(ref exit);
        code.mov(dx, GuestKernel.DebugExitPort);
        code.@out(dx, al);
        code.hlt();
        using var stream = new MemoryStream();
        code.Assemble(new StreamCodeWriter(stream), BootAddress);

        byte[] sector = new byte[Sector];
        stream.ToArray().CopyTo(sector, 0);
        Packet(sector.AsSpan(ReadPacket), sectorNumber: 1);
        Packet(sector.AsSpan(WritePacket), sectorNumber: 2);
        BinaryPrimitives.WriteUInt16LittleEndian(sector.AsSpan(510), 0xAA55);
        return sector;
    }

    // The disk address packet of the enhanced disk drive services: size, count, offset, segment, sector.
    private static void Packet(Span<byte> packet, ulong sectorNumber)
    {
        packet[0] = 16;
        packet[2] = 1;
        BinaryPrimitives.WriteUInt16LittleEndian(packet[4..], Buffer);
        BinaryPrimitives.WriteUInt64LittleEndian(packet[8..], sectorNumber);
    }
}
