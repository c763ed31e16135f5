using System.Buffers.Binary;
using System.Text;

namespace Hypervisor.Engine.Devices.Firmware;

/// <summary>
/// The items that the firmware configuration device offers (QEMU, docs/specs/fw_cfg.rst): numbered legacy items and named files.
/// </summary>
public sealed class FirmwareConfiguration
{
    private const ushort SignatureKey = 0, IdentityKey = 1, MemorySizeKey = 3, ProcessorCountKey = 5, MaximumProcessorsKey = 0x0F,
        FileDirectoryKey = 0x19, FirstFileKey = 0x20;

    private const uint TraditionalInterface = 1, DmaInterface = 2;
    private const int FileNameBytes = 56, DirectoryEntryBytes = 64, MaxFiles = 0x1000;

    private readonly Dictionary<ushort, byte[]> _items = [];
    private readonly SortedDictionary<string, byte[]> _files = new(StringComparer.Ordinal);

    /// <summary>Makes the items that every machine has.</summary>
    public FirmwareConfiguration(int processorCount, ulong memoryBytes)
    {
        _items[SignatureKey] = "QEMU"u8.ToArray();
        _items[IdentityKey] = BitConverter.GetBytes(TraditionalInterface | DmaInterface);
        _items[MemorySizeKey] = BitConverter.GetBytes(memoryBytes);
        _items[ProcessorCountKey] = BitConverter.GetBytes((ushort)processorCount);
        _items[MaximumProcessorsKey] = BitConverter.GetBytes((ushort)processorCount);
        WriteDirectory();
    }

    /// <summary>Adds a file. Called while the machine is assembled.</summary>
    /// <param name="name">Name, at most 55 characters.</param>
    /// <param name="content">Its bytes.</param>
    public void AddFile(string name, byte[] content)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.Length >= FileNameBytes || _files.Count >= MaxFiles)
        {
            throw new ArgumentException($"'{name}' does not fit into the directory.");
        }

        _files[name] = content;
        WriteDirectory();
    }

    /// <summary>Adds a file that holds an integer.</summary>
    public void AddInteger(string name, ulong value) => AddFile(name, BitConverter.GetBytes(value));

    /// <summary>The bytes of an item; empty for one that does not exist.</summary>
    public ReadOnlySpan<byte> this[ushort key] => _items.TryGetValue(key, out byte[]? item) ? item : [];

    private void WriteDirectory()
    {
        byte[] directory = new byte[4 + _files.Count * DirectoryEntryBytes];
        BinaryPrimitives.WriteUInt32BigEndian(directory, (uint)_files.Count);
        ushort key = FirstFileKey;
        foreach (var (name, content) in _files)
        {
            var entry = directory.AsSpan(4 + (key - FirstFileKey) * DirectoryEntryBytes, DirectoryEntryBytes);
            BinaryPrimitives.WriteUInt32BigEndian(entry, (uint)content.Length);
            BinaryPrimitives.WriteUInt16BigEndian(entry[4..], key);
            Encoding.ASCII.GetBytes(name, entry[8..]);
            _items[key++] = content;
        }

        _items[FileDirectoryKey] = directory;
    }
}
