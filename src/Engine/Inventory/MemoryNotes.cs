using System.Text.Json;
using System.Text.Json.Serialization;
using Hypervisor.Engine.Memory;

namespace Hypervisor.Engine.Inventory;

/// <summary>
/// A file for each process that runs machines of a host folder, written once a second and read by the others, with a lock beside it that says
/// whether the process is still there. What one that died has left is deleted by the next who looks.
/// </summary>
internal sealed class MemoryNotes : IMemoryNeighbours
{
    private const string Extension = ".json", LockExtension = ".lock";

    private readonly string _folder;
    private readonly Action<string> _failed;
    private readonly Dictionary<string, (DateTime Written, ProcessMemory? Said)> _heard = [];
    private FileLock? _lock;
    private string _name = "";
    private string? _told;

    /// <summary>Notes in a folder, which is made when the first is written.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="failed">Told why notes cannot be written or read, once until they can.</param>
    public MemoryNotes(string folder, Action<string> failed) => (_folder, _failed) = (folder, failed);

    /// <inheritdoc/>
    public IReadOnlyList<ProcessMemory> Exchange(ProcessMemory own)
    {
        try
        {
            Write(own);
            Read();
            _told = null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // What was heard before is better than nothing.
            if (_told != exception.Message)
            {
                _told = exception.Message;
                _failed(exception.Message);
            }
        }

        return [.. _heard.Values.Select(static heard => heard.Said).OfType<ProcessMemory>()];
    }

    /// <inheritdoc/>
    public void Leave()
    {
        if (_lock is not null)
        {
            TryDelete(PathOf(_name, Extension));
            _lock.Dispose();
            _lock = null;
            TryDelete(PathOf(_name, LockExtension));
        }

        _heard.Clear();
    }

    private void Write(ProcessMemory own)
    {
        if (_lock is null)
        {
            // Another name each time: somebody may just be deleting what was left under the last.
            _name = $"{Environment.ProcessId}-{Guid.NewGuid():N}";
            HostFolder.CreatePrivate(_folder);
            _lock = FileLock.TryTake(PathOf(_name, LockExtension), TimeSpan.Zero) ?? throw new IOException($"'{PathOf(_name, LockExtension)}' is held by somebody else.");
        }

        AtomicFile.Replace(PathOf(_name, Extension), JsonSerializer.SerializeToUtf8Bytes(own, MemoryNotesJson.Default.ProcessMemory), isDurable: false);
    }

    private void Read()
    {
        var gone = _heard.Keys.ToHashSet(StringComparer.Ordinal);
        foreach (string path in Directory.EnumerateFiles(_folder, "*" + Extension))
        {
            string name = Path.GetFileNameWithoutExtension(path);
            if (name == _name)
            {
                continue;
            }

            if (!FileLock.IsHeld(PathOf(name, LockExtension)))
            {
                TryDelete(path);
                TryDelete(PathOf(name, LockExtension));
                continue;
            }

            gone.Remove(name);
            DateTime written = File.GetLastWriteTimeUtc(path);
            if (!_heard.TryGetValue(name, out var heard) || heard.Written != written)
            {
                _heard[name] = (written, Parse(path) ?? heard.Said);
            }
        }

        foreach (string name in gone)
        {
            _heard.Remove(name);
        }
    }

    // Null for what another version of this program wrote.
    private static ProcessMemory? Parse(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(path), MemoryNotesJson.Default.ProcessMemory) is { Machines: not null } memory ? memory : null;
        }
        catch (Exception exception) when (exception is JsonException or FileNotFoundException)
        {
            return null;
        }
    }

    private string PathOf(string name, string extension) => Path.Combine(_folder, name + extension);

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Without its lock a note counts for nothing; the next who looks tries again.
        }
    }
}

/// <summary>Members that a newer version adds are skipped.</summary>
[JsonSourceGenerationOptions(WriteIndented = false, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ProcessMemory))]
internal sealed partial class MemoryNotesJson : JsonSerializerContext;
