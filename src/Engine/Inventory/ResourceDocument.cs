using System.Text.Json;
using System.Text.Json.Serialization;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>The content of <c>resources.json</c> in a host folder: the host's pools and settings.</summary>
internal sealed record ResourceDocument
{
    /// <summary>Version that this program writes, and the newest that it reads.</summary>
    public const int CurrentSchemaVersion = 1;

    public int SchemaVersion { get; init; } = CurrentSchemaVersion;

    /// <summary>Pools, each after the one that it is in.</summary>
    public IReadOnlyList<ResourcePoolConfiguration> Pools { get; init; } = [];

    /// <summary>Advanced settings of the host.</summary>
    public IReadOnlyDictionary<string, string> Settings { get; init; } = new Dictionary<string, string>();

    public static ResourceDocument Load(string path)
    {
        byte[] content;
        try
        {
            content = File.ReadAllBytes(path);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return new ResourceDocument();
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(content);
            if (document.RootElement.ValueKind != JsonValueKind.Object
                || !document.RootElement.TryGetProperty("schemaVersion", out JsonElement version) || !version.TryGetInt32(out int number) || number < 1)
            {
                throw new MachineException($"'{path}' does not describe a host's resources: it has no schemaVersion.");
            }

            if (number > CurrentSchemaVersion)
            {
                throw new MachineException($"'{path}' has schemaVersion {number}; this version of Hypervisor reads versions 1 to {CurrentSchemaVersion}. Use the version that wrote it.");
            }

            ResourceDocument read = JsonSerializer.Deserialize(content, ResourceJson.Default.ResourceDocument)!;
            return read with { Pools = ParentsFirst(read.Pools ?? []), Settings = read.Settings ?? new Dictionary<string, string>() };
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw new MachineException($"'{path}' does not describe a host's resources as this version reads them: {exception.Message}", exception);
        }
    }

    public byte[] Serialize() => JsonSerializer.SerializeToUtf8Bytes(this with { Pools = ParentsFirst(Pools) }, ResourceJson.Default.ResourceDocument);

    /// <summary>Orders pools; one whose parent is gone, or that hand-made changes put into a circle, counts as the host's.</summary>
    internal static IReadOnlyList<ResourcePoolConfiguration> ParentsFirst(IReadOnlyList<ResourcePoolConfiguration> pools)
    {
        var ordered = new List<ResourcePoolConfiguration>();
        var left = pools.Select(pool => pools.Any(other => other.Id == pool.ParentId) ? pool : pool with { ParentId = null }).ToList();
        while (left.Count > 0)
        {
            List<ResourcePoolConfiguration> next = left.FindAll(pool => pool.ParentId is null || ordered.Exists(known => known.Id == pool.ParentId));
            if (next.Count == 0)
            {
                next = [left[0] with { ParentId = null }];
            }

            ordered.AddRange(next);
            left.RemoveAll(pool => next.Exists(taken => taken.Id == pool.Id));
        }

        return ordered;
    }
}

/// <summary>Reader and writer made at compile time.</summary>
[JsonSourceGenerationOptions(
    WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(ResourceDocument))]
internal sealed partial class ResourceJson : JsonSerializerContext;
