using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Monitoring;

/// <summary>Machines of the host folder that other processes run: their numbers are only known there.</summary>
internal static class MachinesElsewhere
{
    /// <summary>The machines, by who runs them; null for a process that does not say.</summary>
    public static IEnumerable<IGrouping<MachineHolder?, VirtualMachine>> ByHolder(HypervisorHost host)
    {
        HashSet<Guid> here = [.. host.GetRunningHere().Select(static machine => machine.Configuration.Id)];
        return host.GetMachines().Where(machine => machine.Holder is not null && !here.Contains(machine.Id))
            .GroupBy(static machine => machine.Holder!.ProcessId == 0 ? null : machine.Holder with { Since = default })
            .OrderBy(static group => group.Key?.ProcessId);
    }

    /// <summary>A sentence about the machines of a process.</summary>
    /// <param name="machines">They.</param>
    /// <param name="process">The process, in words.</param>
    public static string Sentence(IEnumerable<VirtualMachine> machines, string process) =>
        $"{string.Join(", ", machines.Select(static machine => machine.Name))}: in {process}; the numbers are there.";

    /// <summary>A process in words.</summary>
    public static string Describe(MachineHolder? holder) => holder is null
        ? "another process"
        : $"process {holder.ProcessId} ({holder.ProcessName}){(holder.HostName == Environment.MachineName ? "" : $" on {holder.HostName}")}";

    /// <summary>A sentence for each process.</summary>
    public static IEnumerable<string> Describe(HypervisorHost host) => ByHolder(host).Select(static group => Sentence(group, Describe(group.Key)));
}
