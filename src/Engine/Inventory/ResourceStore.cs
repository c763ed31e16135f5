namespace Hypervisor.Engine.Inventory;

/// <summary>Reads and writes a host folder's pools and settings; remembers what it read until the file changes.</summary>
internal sealed class ResourceStore(HostFolder folder)
{
    // As in MachineStore: what was read this shortly after it was written might have changed again without a visible sign.
    private static readonly TimeSpan TimestampGranularity = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private ResourceDocument _known = new();
    private (DateTime Written, long Length)? _stamp;

    /// <summary>What is there now.</summary>
    /// <exception cref="Machines.MachineException">The file cannot be understood.</exception>
    public ResourceDocument Read()
    {
        lock (_lock)
        {
            var file = new FileInfo(folder.Resources);
            (DateTime, long) stamp = file.Exists ? (file.LastWriteTimeUtc, file.Length) : default;
            if (_stamp == stamp)
            {
                return _known;
            }

            _known = ResourceDocument.Load(folder.Resources);
            bool settled = !file.Exists || DateTime.UtcNow - file.LastWriteTimeUtc > TimestampGranularity;
            _stamp = settled ? stamp : null;
            return _known;
        }
    }

    /// <summary>Replaces it; inside an edit of the inventory.</summary>
    public void Write(ResourceDocument document)
    {
        lock (_lock)
        {
            AtomicFile.Replace(folder.Resources, document.Serialize());
            _stamp = null;
        }
    }
}
