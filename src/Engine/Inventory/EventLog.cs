using System.Text;
using System.Text.Json;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>
/// What happened on a host, as lines of JSON that every process on the host folder appends to and reads. Two files of
/// <see cref="MaxFileBytes"/> bound its size: the newer is renamed over the older when it is full.
/// </summary>
public sealed class EventLog
{
    /// <summary>Size at which a file of events is put aside, bytes.</summary>
    public const long MaxFileBytes = 4 << 20;

    private const int TailBytes = 64 << 10;
    private const int MaxMessageChars = 4096;
    private static readonly TimeSpan LockPatience = TimeSpan.FromSeconds(5);

    private readonly HostFolder _folder;
    private readonly long _maxFileBytes;
    private readonly Lock _lock = new();
    private long _knownLength = -1;
    private long _lastKey;

    internal EventLog(HostFolder folder, long maxFileBytes = MaxFileBytes)
    {
        _folder = folder;
        _maxFileBytes = maxFileBytes;
    }

    /// <summary>Why the last event could not be recorded (a full disk, say), or null. An event that cannot be recorded never fails what caused it.</summary>
    public string? LastFailure { get; private set; }

    /// <summary>All events that are kept, oldest first. Lines that a crash left incomplete are passed over.</summary>
    public IReadOnlyList<VIEvent> Read()
    {
        var events = new List<VIEvent>();
        ReadFile(_folder.OlderEvents, events);
        ReadFile(_folder.Events, events);

        // Between the two reads a process may have put the newer file aside: then its events were seen twice or in the wrong order.
        return [.. events.DistinctBy(static e => e.Key).OrderBy(static e => e.Key)];
    }

    internal void Append(string type, MachineEventSeverity severity, string message, Guid? machineId = null, string? machine = null)
    {
        try
        {
            lock (_lock)
            {
                AppendLocked(type, severity, message.Length > MaxMessageChars ? message[..MaxMessageChars] : message, machineId, machine);
                LastFailure = null;
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or MachineException)
        {
            LastFailure = $"The event \"{message}\" could not be recorded: {exception.Message}";
        }
    }

    private void AppendLocked(string type, MachineEventSeverity severity, string message, Guid? machineId, string? machine)
    {
        _folder.Create();
        using FileLock held = FileLock.TryTake(_folder.EventsLock, LockPatience)
            ?? throw new MachineException($"another process has held '{_folder.EventsLock}' for {LockPatience.TotalSeconds:0} seconds");
        using var stream = new FileStream(_folder.Events, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        bool complete = true;
        if (stream.Length != _knownLength)
        {
            complete = FindLastKey(stream);
        }

        var entry = new VIEvent
        {
            Key = _lastKey + 1,
            CreatedTime = DateTimeOffset.Now,
            UserName = Environment.UserName,
            Vm = machine,
            VmId = machineId,
            FullFormattedMessage = message,
            Severity = severity,
            EventTypeId = type,
            ProcessId = Environment.ProcessId,
        };
        byte[] json = JsonSerializer.SerializeToUtf8Bytes(entry, EventJson.Default.VIEvent);
        byte[] line = complete ? [.. json, (byte)'\n'] : [(byte)'\n', .. json, (byte)'\n'];
        stream.Seek(0, SeekOrigin.End);
        stream.Write(line);
        _lastKey = entry.Key;
        _knownLength = stream.Length;
        if (_knownLength > _maxFileBytes)
        {
            stream.Dispose();
            File.Move(_folder.Events, _folder.OlderEvents, overwrite: true);
            _knownLength = -1;
        }
    }

    // Returns false when the last line has no end: a process died while it wrote.
    private bool FindLastKey(FileStream stream)
    {
        if (stream.Length == 0)
        {
            _lastKey = Math.Max(_lastKey, LastKeyIn(_folder.OlderEvents));
            return true;
        }

        byte[] tail = new byte[Math.Min(TailBytes, stream.Length)];
        stream.Seek(-tail.Length, SeekOrigin.End);
        stream.ReadExactly(tail);
        _lastKey = Math.Max(_lastKey, LastKey(tail));
        return tail[^1] == (byte)'\n';
    }

    private static long LastKeyIn(string path)
    {
        if (!File.Exists(path))
        {
            return 0;
        }

        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        byte[] tail = new byte[Math.Min(TailBytes, stream.Length)];
        stream.Seek(-tail.Length, SeekOrigin.End);
        stream.ReadExactly(tail);
        return LastKey(tail);
    }

    private static long LastKey(byte[] tail)
    {
        long last = 0;
        foreach (string line in Encoding.UTF8.GetString(tail).Split('\n'))
        {
            if (Parse(line) is { } entry)
            {
                last = Math.Max(last, entry.Key);
            }
        }

        return last;
    }

    private static void ReadFile(string path, List<VIEvent> events)
    {
        try
        {
            using var reader = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));
            while (reader.ReadLine() is { } line)
            {
                if (Parse(line) is { } entry)
                {
                    events.Add(entry);
                }
            }
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            // Nothing has happened yet.
        }
    }

    private static VIEvent? Parse(string line)
    {
        if (line.Length == 0 || line[0] != '{')
        {
            return null;
        }

        try
        {
            return JsonSerializer.Deserialize(line, EventJson.Default.VIEvent);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
