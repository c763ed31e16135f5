using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Monitoring;

/// <summary>The panels that a host has.</summary>
internal static class EsxTopPanels
{
    /// <summary>All panels of a host, the default first.</summary>
    public static IReadOnlyList<EsxTopPanel> Of(HypervisorHost host) =>
    [
        new EsxTopCpuPanel(host.Services.Scheduler, host.GetMemoryStatistics),
        new EsxTopMemoryPanel(host.GetMemoryStatistics, machine => host.Services.Scheduler?.FindGroup(machine)),
        new EsxTopDiskPanel(host.Services.StorageIo, EsxTopDiskPanel.Kind.Disk),
        new EsxTopDiskPanel(host.Services.StorageIo, EsxTopDiskPanel.Kind.Adapter),
        new EsxTopDiskPanel(host.Services.StorageIo, EsxTopDiskPanel.Kind.VMDisk),
        new EsxTopNetworkPanel(host.GetRunningHere, machine => host.Services.Scheduler?.FindGroup(machine)),
        new EsxTopPowerPanel(new HostPowerProbe()),
        new EsxTopInterruptPanel(host.GetRunningHere),
    ];

    /// <summary>A panel by its name.</summary>
    /// <exception cref="InvalidConfigurationException">There is none; the message names those there are.</exception>
    public static EsxTopPanel Find(HypervisorHost host, string name)
    {
        IReadOnlyList<EsxTopPanel> panels = Of(host);
        return panels.FirstOrDefault(panel => string.Equals(panel.Name, name, StringComparison.OrdinalIgnoreCase))
            ?? throw new InvalidConfigurationException($"There is no panel '{name}'; there are {string.Join(", ", panels.Select(static panel => panel.Name))}.");
    }
}
