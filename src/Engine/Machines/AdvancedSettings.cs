using System.Globalization;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Machines;

/// <summary>The advanced settings that a machine reads when it is assembled.</summary>
internal sealed record AdvancedSettings
{
    private const string DebugExitPortName = "debugExit.port", ProcessorModelName = "processor.model", TripleFaultName = "tripleFault.action",
        CodeCacheName = "processor.codeCacheMB", ConsoleName = "console.device", HostLoopbackName = "nat.hostLoopback",
        BalloonReportingName = "balloon.reporting", BalloonMaxName = "sched.mem.maxmemctl", SharingName = "sched.mem.pshare.enable", SaltName = "sched.mem.pshare.salt";

    private const int NoBalloonMax = -1;

    private static readonly string[] Names = [BalloonReportingName, ConsoleName, DebugExitPortName, HostLoopbackName, CodeCacheName, ProcessorModelName, BalloonMaxName, SharingName, SaltName, TripleFaultName];

    /// <summary>Port that ends the machine when the guest writes to it; null for none.</summary>
    public ushort? DebugExitPort { get; private init; }

    /// <summary>Feature level shown by CPUID; null is the backend's own.</summary>
    public string? ProcessorModel { get; private init; }

    /// <summary>MB for translated code on the software backend.</summary>
    public int CodeCacheMB { get; private init; }

    /// <summary>A triple fault resets the machine, as on hardware, instead of powering it off.</summary>
    public bool ResetOnTripleFault { get; private init; }

    /// <summary>Console input goes to the virtio console instead of the serial port; output comes from both.</summary>
    public bool InputToVirtioConsole { get; private init; }

    /// <summary>The NAT network's gateway address reaches the host's loopback.</summary>
    public bool AllowHostLoopback { get; private init; }

    /// <summary>Most MB that the balloon may take; null for the host's Mem.CtlMaxPercent.</summary>
    public int? BalloonMaxMB { get; private init; }

    /// <summary>The balloon's driver may report free pages by itself; otherwise it is asked for them when the host is short of memory.</summary>
    public bool OffersFreePageReporting { get; private init; }

    /// <summary>Pages of equal content are looked for in this machine.</summary>
    public bool IsPageSharingEnabled { get; private init; }

    /// <summary>Machines of the same salt may share pages (see the host's Mem.ShareForceSalting); null for none.</summary>
    public string? PageSharingSalt { get; private init; }

    /// <summary>Refuses settings that a power-on would refuse.</summary>
    /// <exception cref="InvalidConfigurationException">One is unknown or has a value that cannot be; the message names it.</exception>
    public static void Check(VirtualMachineConfiguration configuration)
    {
        try
        {
            _ = Read(configuration);
        }
        catch (MachineException exception)
        {
            throw new InvalidConfigurationException(exception.Message, exception);
        }
    }

    /// <summary>Reads them.</summary>
    /// <exception cref="MachineException">One is unknown or has a value that cannot be; the message names it.</exception>
    public static AdvancedSettings Read(VirtualMachineConfiguration configuration)
    {
        // Without regard to case, as everything that a user types.
        var settings = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var (name, value) in configuration.AdvancedSettings)
        {
            if (!Names.Contains(name, StringComparer.OrdinalIgnoreCase))
            {
                // A misspelt setting would be without effect, silently.
                throw new MachineException($"There is no advanced setting '{name}' of a machine; there are {string.Join(", ", Names)}.{Elsewhere(name)} Set-VM -AdvancedSetting @{{ '{name}' = $null }} takes it away where a machine has it.");
            }

            settings[name] = value;
        }

        return new AdvancedSettings
        {
            DebugExitPort = settings.TryGetValue(DebugExitPortName, out string? port) ? ParsePort(port) : null,
            ProcessorModel = ParseModel(settings.GetValueOrDefault(ProcessorModelName)),
            CodeCacheMB = settings.TryGetValue(CodeCacheName, out string? cache) ? ParseCodeCache(cache) : PartitionOptions.DefaultCodeCacheMB,
            InputToVirtioConsole = settings.GetValueOrDefault(ConsoleName)?.ToUpperInvariant() switch
            {
                null or "" or "SERIAL" => false,
                "VIRTIO" => true,
                string other => throw new MachineException($"The advanced setting {ConsoleName} is '{other}'; it can be 'serial' or 'virtio'."),
            },
            AllowHostLoopback = settings.GetValueOrDefault(HostLoopbackName)?.ToUpperInvariant() switch
            {
                null or "" or "ALLOW" => true,
                "DENY" => false,
                string other => throw new MachineException($"The advanced setting {HostLoopbackName} is '{other}'; it can be 'allow' or 'deny'."),
            },
            BalloonMaxMB = settings.GetValueOrDefault(BalloonMaxName) is { Length: > 0 } balloon ? ParseBalloonMax(balloon) : null,
            OffersFreePageReporting = ParseSwitch(settings, BalloonReportingName),
            IsPageSharingEnabled = ParseSwitch(settings, SharingName),
            PageSharingSalt = settings.GetValueOrDefault(SaltName) is { Length: > 0 } salt ? salt : null,
            ResetOnTripleFault = settings.GetValueOrDefault(TripleFaultName)?.ToUpperInvariant() switch
            {
                null or "" or "RESET" => true,
                "POWEROFF" => false,
                string other => throw new MachineException($"The advanced setting {TripleFaultName} is '{other}'; it can be 'reset' or 'powerOff'."),
            },
        };
    }

    // Settings of vSphere that are parameters here.
    private static string Elsewhere(string name) =>
        name.StartsWith("sched.cpu.", StringComparison.OrdinalIgnoreCase) || name.StartsWith("sched.mem.", StringComparison.OrdinalIgnoreCase)
            ? " Shares, reservations, limits, affinity and latency sensitivity are set with Set-VMResource."
            : "";

    private static string? ParseModel(string? text)
    {
        try
        {
            _ = ProcessorModels.Parse(text);
            return text;
        }
        catch (PartitionException exception)
        {
            throw new MachineException($"The advanced setting {ProcessorModelName} is '{text}'; it can be 'x86-64-v1', 'x86-64-v2', 'x86-64-v3' or 'host'.", exception);
        }
    }

    // On unless it says otherwise.
    private static bool ParseSwitch(Dictionary<string, string> settings, string name) => settings.GetValueOrDefault(name)?.ToUpperInvariant() switch
    {
        null or "" or "TRUE" => true,
        "FALSE" => false,
        string other => throw new MachineException($"The advanced setting {name} is '{other}'; it can be 'true' or 'false'."),
    };

    private static int ParseCodeCache(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int megabytes)
            && megabytes is >= PartitionOptions.MinimumCodeCacheMB and <= PartitionOptions.MaximumCodeCacheMB
            ? megabytes
            : throw new MachineException($"The advanced setting {CodeCacheName} is '{text}'; it can be a whole number of MB from {PartitionOptions.MinimumCodeCacheMB} to {PartitionOptions.MaximumCodeCacheMB}.");

    // -1 is vSphere's word for no maximum of its own. More than the machine has is no mistake: it may be given more memory later.
    private static int? ParseBalloonMax(string text) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int megabytes) && megabytes >= NoBalloonMax
            ? megabytes == NoBalloonMax ? null : megabytes
            : throw new MachineException($"The advanced setting {BalloonMaxName} is '{text}'; it can be a whole number of MB from 0 (no balloon) to {int.MaxValue}, or {NoBalloonMax} for what the host's Mem.CtlMaxPercent allows.");

    private static ushort ParsePort(string text)
    {
        string digits = text.Trim();
        bool hexadecimal = true;
        if (digits.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
        {
            digits = digits[2..];
        }
        else if (digits.EndsWith('h') || digits.EndsWith('H'))
        {
            digits = digits[..^1];
        }
        else
        {
            hexadecimal = false;
        }

        var style = hexadecimal ? NumberStyles.AllowHexSpecifier : NumberStyles.None;
        return ushort.TryParse(digits, style, CultureInfo.InvariantCulture, out ushort port) && port <= 0xFFFC
            ? port
            : throw new MachineException($"The advanced setting {DebugExitPortName} is '{text}'; it can be a port number from 0 to 0xfffc, such as 0xf4.");
    }
}
