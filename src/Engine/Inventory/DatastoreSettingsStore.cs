using System.Text.Json;
using System.Text.Json.Serialization;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Storage.IoControl;

namespace Hypervisor.Engine.Inventory;

/// <summary>The settings of datastores in a host folder, in one file that is replaced atomically.</summary>
internal sealed class DatastoreSettingsStore(HostFolder folder)
{
    private volatile Tuple<byte[], Dictionary<string, DatastoreIoSettings>>? _known;

    /// <summary>All datastores that something was said of, by name.</summary>
    /// <exception cref="MachineException">The file is none that this version reads.</exception>
    public IReadOnlyDictionary<string, DatastoreIoSettings> Read()
    {
        byte[] content;
        try
        {
            content = File.ReadAllBytes(folder.DatastoreSettings);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return new Dictionary<string, DatastoreIoSettings>(DatastoreName.Comparer);
        }

        // Read every second while machines run, and hardly ever changed.
        if (_known is { } known && content.AsSpan().SequenceEqual(known.Item1))
        {
            return known.Item2;
        }

        Dictionary<string, DatastoreIoSettings> settings = Parse(content);
        _known = Tuple.Create(content, settings);
        return settings;
    }

    /// <summary>The settings of one datastore.</summary>
    /// <exception cref="MachineException">The file is none that this version reads.</exception>
    public DatastoreIoSettings Find(string datastore) => Read().GetValueOrDefault(datastore, DatastoreIoSettings.Default);

    /// <summary>Replaces the settings of one datastore; while the inventory's lock is held.</summary>
    public void Write(string datastore, DatastoreIoSettings settings)
    {
        var all = new SortedDictionary<string, DatastoreIoSettings>(Read().ToDictionary(DatastoreName.Comparer), DatastoreName.Comparer) { [datastore] = settings };
        if (settings == DatastoreIoSettings.Default)
        {
            all.Remove(datastore);
        }

        var document = new DatastoreDocument
        {
            SchemaVersion = DatastoreDocument.CurrentSchemaVersion,
            Datastores = [.. all.Select(static entry => new DatastoreEntry { Name = entry.Key, IoControl = entry.Value })],
        };
        AtomicFile.Replace(folder.DatastoreSettings, JsonSerializer.SerializeToUtf8Bytes(document, DatastoreJson.Default.DatastoreDocument));
    }

    private Dictionary<string, DatastoreIoSettings> Parse(byte[] content)
    {
        string path = folder.DatastoreSettings;
        try
        {
            using (JsonDocument json = JsonDocument.Parse(content))
            {
                if (json.RootElement.ValueKind != JsonValueKind.Object
                    || !json.RootElement.TryGetProperty("schemaVersion", out JsonElement version)
                    || !version.TryGetInt32(out int number))
                {
                    throw new MachineException($"'{path}' has no settings of datastores: it has no schemaVersion.");
                }

                if (number is < 1 or > DatastoreDocument.CurrentSchemaVersion)
                {
                    throw new MachineException(
                        $"'{path}' has schemaVersion {number}; this version of Hypervisor reads versions 1 to {DatastoreDocument.CurrentSchemaVersion}. Use the version that wrote it.");
                }
            }

            DatastoreDocument document = JsonSerializer.Deserialize(content, DatastoreJson.Default.DatastoreDocument)!;
            var all = new Dictionary<string, DatastoreIoSettings>(DatastoreName.Comparer);
            foreach (DatastoreEntry entry in document.Datastores)
            {
                entry.IoControl.Check($"'{path}', datastore '{entry.Name}'");
                all[entry.Name] = entry.IoControl;
            }

            return all;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException or InvalidConfigurationException)
        {
            throw new MachineException($"'{path}' has no settings of datastores that this version reads: {exception.Message}", exception);
        }
    }
}

/// <summary>The content of <c>datastores.json</c>.</summary>
internal sealed record DatastoreDocument
{
    /// <summary>Version that this program writes, and the newest that it reads.</summary>
    public const int CurrentSchemaVersion = 1;

    public required int SchemaVersion { get; init; }

    public required IReadOnlyList<DatastoreEntry> Datastores { get; init; }
}

/// <summary>A datastore and what was said of it.</summary>
internal sealed record DatastoreEntry
{
    public required string Name { get; init; }

    public required DatastoreIoSettings IoControl { get; init; }
}

/// <summary>Readers and writers made at compile time.</summary>
[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(DatastoreDocument))]
internal sealed partial class DatastoreJson : JsonSerializerContext;
