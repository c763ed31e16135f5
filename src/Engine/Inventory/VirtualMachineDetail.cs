using Hypervisor.Engine.Partitions;

namespace Hypervisor.Engine.Inventory;

/// <summary>What costs something to find out about a machine, and its whole configuration.</summary>
public sealed class VirtualMachineDetail
{
    private readonly Lazy<(long Provisioned, long Used)> _space;

    internal VirtualMachineDetail(VirtualMachineConfiguration configuration, PowerState state, BackendKind? runsOn, MachineHolder? holder, string folder)
    {
        Config = configuration;
        PowerState = state;
        RunsOn = runsOn;
        Holder = holder;
        Folder = folder;
        _space = new Lazy<(long, long)>(() => Measure(configuration, folder));
    }

    /// <summary>The configuration as it is stored.</summary>
    public VirtualMachineConfiguration Config { get; }

    /// <summary>Power state.</summary>
    public PowerState PowerState { get; }

    /// <summary>Backend that runs it in this process, or null.</summary>
    public BackendKind? RunsOn { get; }

    /// <summary>Process that runs it, or null.</summary>
    public MachineHolder? Holder { get; }

    /// <summary>Its own folder on the host.</summary>
    public string Folder { get; }

    internal long ProvisionedBytes => _space.Value.Provisioned;

    internal long UsedBytes => _space.Value.Used;

    private static (long Provisioned, long Used) Measure(VirtualMachineConfiguration configuration, string folder)
    {
        var files = new HashSet<string>(configuration.Disks.Select(static disk => disk.Path), StringComparer.Ordinal);
        if (Directory.Exists(folder))
        {
            files.UnionWith(Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories));
        }

        long provisioned = 0, used = 0;
        foreach (string file in files)
        {
            var info = new FileInfo(file);
            if (info.Exists)
            {
                provisioned += info.Length;
                used += Native.Files.FileSpace.Allocated(file);
            }
        }

        return (provisioned, used);
    }
}

/// <summary>What the host knows of a guest.</summary>
public sealed class VMGuest
{
    internal VMGuest(VirtualMachine machine)
    {
        VM = machine.Name;
        State = machine.PowerState == PowerState.PoweredOn ? "Running" : "NotRunning";
    }

    /// <summary>Name of the machine.</summary>
    public string VM { get; }

    /// <summary><c>Running</c> or <c>NotRunning</c>.</summary>
    public string State { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{VM}:{State}";
}
