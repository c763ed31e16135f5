namespace Hypervisor.Engine.Devices.Virtio;

/// <summary>Numbers of the block device (virtio 1.2, 5.2).</summary>
internal static class VirtioBlockLayout
{
    public const ulong FeatureSegmentMax = 1ul << 2;
    public const ulong FeatureReadOnly = 1ul << 5;
    public const ulong FeatureBlockSize = 1ul << 6;
    public const ulong FeatureFlush = 1ul << 9;
    public const ulong FeatureTopology = 1ul << 10;
    public const ulong FeatureConfigWriteback = 1ul << 11;
    public const ulong FeatureDiscard = 1ul << 13;
    public const ulong FeatureWriteZeroes = 1ul << 14;

    public const uint TypeIn = 0;
    public const uint TypeOut = 1;
    public const uint TypeFlush = 4;
    public const uint TypeGetId = 8;
    public const uint TypeDiscard = 11;
    public const uint TypeWriteZeroes = 13;

    public const byte StatusOk = 0;
    public const byte StatusIoError = 1;
    public const byte StatusUnsupported = 2;

    public const int HeaderSize = 16;
    public const int IdSize = 20;
    public const int RangeSize = 16;
    public const uint RangeUnmap = 1;

    public const int ConfigCapacity = 0;
    public const int ConfigSegmentMax = 12;
    public const int ConfigBlockSize = 20;
    public const int ConfigPhysicalBlockExponent = 24;
    public const int ConfigMinimumIo = 26;
    public const int ConfigWriteback = 32;
    public const int ConfigMaxDiscardSectors = 36;
    public const int ConfigMaxDiscardRanges = 40;
    public const int ConfigDiscardAlignment = 44;
    public const int ConfigMaxWriteZeroesSectors = 48;
    public const int ConfigMaxWriteZeroesRanges = 52;
    public const int ConfigWriteZeroesMayUnmap = 56;
    public const int ConfigLength = 60;
}
