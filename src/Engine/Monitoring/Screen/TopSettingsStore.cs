using System.Text.Json;
using System.Text.Json.Serialization;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Monitoring.Screen;

/// <summary>The screen's settings in the host folder, in one file that is replaced atomically.</summary>
internal sealed class TopSettingsStore(HostFolder folder)
{
    /// <summary>The file.</summary>
    public string Path => folder.EsxTopSettings;

    /// <summary>Reads them; what they are at first when nobody has written any.</summary>
    /// <exception cref="MachineException">The file is none that this version reads; the message names the file, the reason and the remedy.</exception>
    public TopSettings Read()
    {
        byte[] content;
        try
        {
            content = File.ReadAllBytes(Path);
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return new TopSettings();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw Refusal(exception.Message, exception);
        }

        try
        {
            using (JsonDocument json = JsonDocument.Parse(content))
            {
                if (json.RootElement.ValueKind != JsonValueKind.Object || !json.RootElement.TryGetProperty("schemaVersion", out JsonElement version) || !version.TryGetInt32(out int number))
                {
                    throw Refusal("it has no schemaVersion");
                }

                if (number is < 1 or > TopSettings.CurrentSchemaVersion)
                {
                    throw Refusal($"it has schemaVersion {number}, and this version of Hypervisor reads 1 to {TopSettings.CurrentSchemaVersion}");
                }
            }

            TopSettings settings = JsonSerializer.Deserialize(content, TopSettingsJson.Default.TopSettings)!;
            return settings.Problem() is { } problem ? throw Refusal(problem) : settings;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            throw Refusal(exception.Message, exception);
        }
    }

    /// <summary>Replaces the file.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Write(TopSettings settings)
    {
        folder.Create();
        AtomicFile.Replace(Path, JsonSerializer.SerializeToUtf8Bytes(settings, TopSettingsJson.Default.TopSettings));
    }

    private MachineException Refusal(string reason, Exception? inner = null) => new($"'{Path}' cannot be used: {reason.TrimEnd('.')}. W writes a new one.", inner!);
}

/// <summary>Readers and writers made at compile time.</summary>
[JsonSourceGenerationOptions(WriteIndented = true, RespectNullableAnnotations = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(TopSettings))]
internal sealed partial class TopSettingsJson : JsonSerializerContext;
