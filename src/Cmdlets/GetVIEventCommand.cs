using System.Management.Automation;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Cmdlets;

/// <summary>Get-VIEvent: what happened on a host, newest first; to a machine also what happened in other processes and before it was removed.</summary>
/// <example>
/// <code>Get-VIEvent web -MaxSamples 10</code>
/// The last ten things that happened to a machine.
/// </example>
/// <example>
/// <code>Get-VIEvent -Start (Get-Date).AddHours(-1) -Types Error, Warning</code>
/// What went wrong in the last hour.
/// </example>
[Cmdlet(VerbsCommon.Get, "VIEvent")]
[OutputType(typeof(VIEvent))]
public sealed class GetVIEventCommand : HypervisorCmdlet
{
    private const int DefaultSamples = 100;

    private readonly List<VirtualMachine> _entities = [];

    /// <summary>Machines, or their names; those of machines that are gone too.</summary>
    [Parameter(Position = 0, ValueFromPipeline = true)]
    [Alias("VM")]
    [VirtualMachineTransformation]
    [ArgumentCompleter(typeof(VirtualMachineNameCompleter))]
    public VirtualMachine[]? Entity { get; set; }

    /// <summary>Only events from then on.</summary>
    [Parameter]
    public DateTime Start { get; set; }

    /// <summary>Only events until then.</summary>
    [Parameter]
    public DateTime Finish { get; set; }

    /// <summary>Only events that this user caused.</summary>
    [Parameter]
    public string? Username { get; set; }

    /// <summary>At most so many, the newest.</summary>
    [Parameter]
    [ValidateRange(1, int.MaxValue)]
    public int MaxSamples { get; set; } = DefaultSamples;

    /// <summary>Only events of these kinds.</summary>
    [Parameter]
    public MachineEventSeverity[]? Types { get; set; }

    private protected override void Process() => _entities.AddRange(Entity ?? []);

    private protected override void End()
    {
        // An empty pipeline asks about no machine, which is not the same as about all.
        if (_entities.Count == 0 && (ExpectsInput || IsBound(nameof(Entity))))
        {
            return;
        }

        EventLog log = (_entities.Find(static entity => !entity.IsReference)?.Host ?? VIHost).Events;
        foreach (VIEvent entry in log.Read().Reverse().Where(IsWanted).Take(MaxSamples))
        {
            Emit(entry);
        }

        if (log.LastFailure is { } failure)
        {
            Warn(failure);
        }
    }

    private bool IsWanted(VIEvent entry) =>
        (_entities.Count == 0 || _entities.Any(entity => Concerns(entry, entity)))
        && (!IsBound(nameof(Start)) || entry.CreatedTime >= Start)
        && (!IsBound(nameof(Finish)) || entry.CreatedTime <= Finish)
        && (Username is null || new NamePattern(Username).IsMatch(entry.UserName))
        && (Types is null || Types.Contains(entry.Severity));

    private static bool Concerns(VIEvent entry, VirtualMachine entity) =>
        entity.IsReference ? entry.Vm is { } name && new NamePattern(entity.Name).IsMatch(name) : entry.VmId == entity.Id;
}
