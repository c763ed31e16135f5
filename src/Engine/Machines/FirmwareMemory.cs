using System.Buffers.Binary;
using Hypervisor.Engine.Boot;
using Hypervisor.Engine.Devices;
using Hypervisor.Engine.Devices.Timers;

namespace Hypervisor.Engine.Machines;

/// <summary>How firmware learns of memory and processors: the file <c>etc/e820</c>, and the CMOS memory of a PC for what reads that.</summary>
internal static class FirmwareMemory
{
    private const int EntryBytes = 20;
    private const int BaseMemoryLow = 0x15, ExtendedMemoryLow = 0x17, ExtendedMemoryCopyLow = 0x30, ExtendedMemory64KLow = 0x34,
        BootOrder = 0x3D, HighMemoryLow = 0x5B, ProcessorCountLessOne = 0x5F;

    /// <summary>The memory and the configuration space of PCI Express; firmware itself reserves what it uses.</summary>
    public static byte[] Map(MemoryLayout layout)
    {
        byte[] map = new byte[(layout.HighMemoryBytes == 0 ? 2 : 3) * EntryBytes];
        Write(map, 0, layout.LowMemoryTop, MemoryRangeType.Usable);
        Write(map.AsSpan(EntryBytes), PlatformLayout.EcamBase, PlatformLayout.EcamSize, MemoryRangeType.Reserved);
        if (layout.HighMemoryBytes != 0)
        {
            Write(map.AsSpan(2 * EntryBytes), PlatformLayout.HighMemoryBase, layout.HighMemoryBytes, MemoryRangeType.Usable);
        }

        return map;
    }

    /// <summary>Memory sizes, number of processors and boot order where SeaBIOS and old loaders look for them.</summary>
    public static void FillCmos(RealTimeClock rtc, int processors, MemoryLayout layout)
    {
        const byte HardDiskThenCd = 0x32;
        const int Kilobyte = 1 << 10, SixtyFourKilobytes = 1 << 16, SixteenMegabytes = 16 << 20;
        Store(rtc, BaseMemoryLow, 640, 2);
        ulong extended = Math.Min((layout.LowMemoryTop - MemoryLayout.HighMemoryStart) / Kilobyte, ushort.MaxValue);
        Store(rtc, ExtendedMemoryLow, extended, 2);
        Store(rtc, ExtendedMemoryCopyLow, extended, 2);
        Store(rtc, ExtendedMemory64KLow, layout.LowMemoryTop > SixteenMegabytes ? (layout.LowMemoryTop - SixteenMegabytes) / SixtyFourKilobytes : 0, 2);
        Store(rtc, HighMemoryLow, layout.HighMemoryBytes / SixtyFourKilobytes, 3);
        rtc.SetMemory(BootOrder, HardDiskThenCd);
        rtc.SetMemory(ProcessorCountLessOne, (byte)(processors - 1));
    }

    private static void Write(Span<byte> entry, ulong address, ulong bytes, MemoryRangeType type)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(entry, address);
        BinaryPrimitives.WriteUInt64LittleEndian(entry[8..], bytes);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[16..], (uint)type);
    }

    private static void Store(RealTimeClock rtc, int index, ulong value, int bytes)
    {
        for (int i = 0; i < bytes; i++)
        {
            rtc.SetMemory(index + i, (byte)(value >> (8 * i)));
        }
    }
}
