using System.Text.Json;
using System.Text.Json.Serialization;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Inventory;

/// <summary>The content of a <c>machine.json</c>: a version and a machine.</summary>
internal sealed record MachineDocument
{
    /// <summary>Version that this program writes, and the newest that it reads.</summary>
    public const int CurrentSchemaVersion = 1;

    public required int SchemaVersion { get; init; }

    public required VirtualMachineConfiguration Machine { get; init; }

    public static byte[] Write(VirtualMachineConfiguration machine) =>
        JsonSerializer.SerializeToUtf8Bytes(
            new MachineDocument { SchemaVersion = CurrentSchemaVersion, Machine = machine }, InventoryJson.Default.MachineDocument);

    /// <summary>Reads a configuration.</summary>
    /// <exception cref="MachineException">Not a configuration, of a newer version, or with a property that this version does not know.</exception>
    public static VirtualMachineConfiguration Read(ReadOnlyMemory<byte> content, string path)
    {
        try
        {
            RefuseForeignVersion(content, path);
            VirtualMachineConfiguration machine = JsonSerializer.Deserialize(content.Span, InventoryJson.Default.MachineDocument)!.Machine;
            return WithoutNulls(machine);
        }
        catch (JsonException exception)
        {
            throw new MachineException($"'{path}' is not a machine configuration that this version reads: {exception.Message}", exception);
        }
    }

    // The version is looked at before anything else is understood, so that a newer file is refused as newer and not as broken.
    private static void RefuseForeignVersion(ReadOnlyMemory<byte> content, string path)
    {
        using JsonDocument document = JsonDocument.Parse(content);
        if (document.RootElement.ValueKind != JsonValueKind.Object
            || !document.RootElement.TryGetProperty("schemaVersion", out JsonElement version)
            || version.ValueKind != JsonValueKind.Number
            || !version.TryGetInt32(out int number))
        {
            throw new MachineException($"'{path}' is not a machine configuration: it has no schemaVersion.");
        }

        if (number is < 1 or > CurrentSchemaVersion)
        {
            throw new MachineException(
                $"'{path}' has schemaVersion {number}; this version of Hypervisor reads versions 1 to {CurrentSchemaVersion}. Use the version that wrote it.");
        }
    }

    // PowerShell indexes arrays and lists, but not the read-only lists that a collection expression makes.
    // Source-generated readers set what a file leaves out to null rather than to the property's initial value.
    private static VirtualMachineConfiguration WithoutNulls(VirtualMachineConfiguration machine)
    {
        if (machine is null || string.IsNullOrEmpty(machine.Name))
        {
            throw new JsonException("the machine has no name");
        }

        return machine with
        {
            Notes = machine.Notes ?? "",
            Resources = machine.Resources is { } resources ? resources with { CpuAffinityList = resources.CpuAffinityList?.ToArray() ?? [] } : ResourceSettings.Default,
            Disks = machine.Disks is null ? Array.Empty<HardDiskConfiguration>() : machine.Disks.Select(static disk => disk with { Format = disk.Format ?? "raw" }).ToArray(),
            NetworkAdapters = machine.NetworkAdapters is null
                ? Array.Empty<NetworkAdapterConfiguration>()
                : machine.NetworkAdapters.Select(static nic => nic with { NetworkName = nic.NetworkName ?? "NAT", PortForwards = nic.PortForwards ?? Array.Empty<PortForward>() }).ToArray(),
            AdvancedSettings = machine.AdvancedSettings ?? new Dictionary<string, string>(),
            CoresPerSocket = machine.CoresPerSocket == 0 ? 1 : machine.CoresPerSocket,
        };
    }
}

/// <summary>Readers and writers made at compile time; no reflection at start.</summary>
[JsonSourceGenerationOptions(
    WriteIndented = true,
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    UseStringEnumConverter = true,
    UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow)]
[JsonSerializable(typeof(MachineDocument))]
[JsonSerializable(typeof(MachineHolder))]
internal sealed partial class InventoryJson : JsonSerializerContext;

/// <summary>One line an event, so that a log can be appended to.</summary>
[JsonSourceGenerationOptions(WriteIndented = false, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, UseStringEnumConverter = true)]
[JsonSerializable(typeof(VIEvent))]
internal sealed partial class EventJson : JsonSerializerContext;
