using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Monitoring.Counters;

/// <summary>
/// The counters and topologies of a host with ESXi's names. What the panels count is the same; here it is as PowerCLI's scripts expect it.
/// Of the machines of this process.
/// </summary>
/// <param name="host">The host.</param>
public sealed class EsxTopCounters(HypervisorHost host)
{
    private const long BytesPerKB = 1024, KBPerMB = 1024, HzPerMHz = 1_000_000, Percent = 100;
    private const string NoUplink = "n/a";

    /// <summary>All counters.</summary>
    public IReadOnlyList<EsxTopCounter> All =>
    [
        new("PCPU", typeof(PcpuCounter), () => [new PcpuCounter { NumOfLCPUs = Topology.Count }]),
        new("LCPU", typeof(LcpuCounter), LogicalProcessors),
        new("PMem", typeof(PMemCounter), Memory),
        new("SchedGroup", typeof(SchedGroupCounter), Groups),
        new("VCPU", typeof(VcpuCounter), () => Worlds.Select(static world => Of(world))),
        new("MemClient", typeof(MemClientCounter), () => MemoryOfMachines.Where(static machine => machine.GroupId is not null).Select(static machine => Of(machine))),
        new("SCSIDevice", typeof(ScsiDeviceCounter), () => Disks.Where(static disk => disk.VMId is null).Select(static disk => new ScsiDeviceCounter(disk))),
        new("VSCSI", typeof(VscsiCounter), () => Disks.Where(static disk => disk.VMId is not null).Select(disk => new VscsiCounter(disk, GroupOf(disk.VMId!.Value)))),
        new("NetPort", typeof(NetPortCounter), () => Ports.Select(static port => Of(port))),
    ];

    /// <summary>All topologies, as they are now.</summary>
    public IReadOnlyList<EsxTopTopology> Topologies()
    {
        SchedGroupTopology[] groups = [.. Worlds.GroupBy(static world => world.GroupId).Select(group => new SchedGroupTopology(
            group.Key, $"vm.{group.Key}", HasMemory(group.First().VMId) ? group.Key : -1, [.. group.Select(static world => new CpuClientTopology(world.WorldId, world.WorldName))]))];
        NetPortTopology[] ports = [.. Ports.Select(static port => new NetPortTopology(port.PortId, port.NetworkName))];
        EsxTopDiskCounters[] disks = [.. Disks];
        return
        [
            new("PCPU", [new PcpuTopology(Topology.Count)]),
            new("SchedGroup", groups),
            new("CPUClient", groups.SelectMany(static group => group.CPUClient)),
            new("SCSIDevice", disks.Where(static disk => disk.VMId is null).Select(device => new ScsiDeviceTopology(
                device.Datastore,
                [.. disks.Where(disk => disk.VMId is not null && disk.Datastore == device.Datastore).Select(disk => GroupOf(disk.VMId!.Value)).OfType<int>().Distinct().Select(static group => new WorldPerDevTopology(group))]))),
            new("NetPortset", ports.GroupBy(static port => port.PortsetName).Select(static set => new NetPortsetTopology(set.Key, [.. set]))),
            new("NetPort", ports),
        ];
    }

    private HostTopology Topology => host.Services.Scheduler?.Topology ?? host.Services.Processors.Value;

    private IEnumerable<EsxTopCpuCounters> Worlds => new EsxTopCpuPanel(host.Services.Scheduler).Take().Cast<EsxTopCpuCounters>();

    private IEnumerable<EsxTopMemoryCounters> MemoryOfMachines => new EsxTopMemoryPanel(host.GetMemoryStatistics, GroupOf).Take().OfType<EsxTopMemoryCounters>();

    private IEnumerable<EsxTopDiskCounters> Disks => new EsxTopDiskPanel(host.Services.StorageIo, EsxTopDiskPanel.Kind.Disk).Take().Cast<EsxTopDiskCounters>();

    private IEnumerable<EsxTopNetworkCounters> Ports => new EsxTopNetworkPanel(host.GetRunningHere, GroupOf).Take().Cast<EsxTopNetworkCounters>();

    private int? GroupOf(Guid machine) => host.Services.Scheduler?.FindGroup(machine);

    private bool HasMemory(Guid machine) => host.GetMemoryStatistics()?.Machines.Any(known => known.Id == machine) == true;

    private IEnumerable<LcpuCounter> LogicalProcessors()
    {
        IReadOnlyDictionary<int, HostProcessorTime> times = HostProcessorTimes.Read();
        for (int i = 0; i < Topology.Count; i++)
        {
            int number = i < Topology.HostNumbers.Count ? Topology.HostNumbers[i] : i;
            HostProcessorTime? time = times.TryGetValue(number, out HostProcessorTime known) ? known : null;
            yield return new LcpuCounter
            {
                LCPUID = number,
                CPUHz = Topology.ProcessorMHz * HzPerMHz,
                UsedTimeInUsec = time?.Used,
                HaltTimeInUsec = time?.Halted,
                ElapsedTimeInUsec = time?.Elapsed,
            };
        }
    }

    private IEnumerable<PMemCounter> Memory()
    {
        IReadOnlyList<IEsxTopCounters> counters = new EsxTopMemoryPanel(host.GetMemoryStatistics, GroupOf).Take();
        EsxTopMemoryCounters[] machines = [.. counters.OfType<EsxTopMemoryCounters>()];
        foreach (EsxTopMemoryHostCounters memory in counters.OfType<EsxTopMemoryHostCounters>())
        {
            yield return new PMemCounter
            {
                PhysicalMemInKB = host.Services.PhysicalMemoryMB * KBPerMB,
                FreeMemInKB = memory.FreeBytes / BytesPerKB,
                PShareSharedInKB = memory.SharedBytes / BytesPerKB,
                PShareCommonInKB = memory.SharedCommonBytes / BytesPerKB,
                SchedManagedInKB = memory.BudgetBytes / BytesPerKB,
                SchedMinFreeInKB = memory.MinFreeBytes / BytesPerKB,
                SchedReservedInKB = memory.ReservedBytes / BytesPerKB,
                SchedAvailInKB = (memory.BudgetBytes - memory.ReservedBytes) / BytesPerKB,
                SchedState = (int)memory.Statistics.State,
#pragma warning disable CA1308 // ESXi writes the state in lower case.
                SchedStateStr = memory.State.ToLowerInvariant(),
#pragma warning restore CA1308
                MemCtlMaxInKB = machines.Sum(static machine => machine.MemctlMaxBytes) / BytesPerKB,
                MemCtlCurInKB = machines.Sum(static machine => machine.MemctlBytes) / BytesPerKB,
                MemCtlTgtInKB = machines.Sum(static machine => machine.MemctlTargetBytes) / BytesPerKB,
                SwapUsedInKB = machines.Sum(static machine => machine.SwappedBytes ?? 0) / BytesPerKB,
                SwapTgtInKB = machines.Sum(static machine => machine.SwapTargetBytes ?? 0) / BytesPerKB,
                SwapReadInKB = machines.Sum(static machine => machine.SwapReadBytes ?? 0) / BytesPerKB,
                SwapWrtnInKB = machines.Sum(static machine => machine.SwapWrittenBytes ?? 0) / BytesPerKB,
                ZippedInKB = machines.Sum(static machine => machine.ZippedBytes ?? 0) / BytesPerKB,
                ZipSavedInKB = machines.Sum(static machine => (machine.ZippedBytes - machine.CacheUsedBytes) ?? 0) / BytesPerKB,
                MemOvercommitInPct1Min = InPercent(memory.OvercommitAverages[0]),
                MemOvercommitInPct5Min = InPercent(memory.OvercommitAverages[1]),
                MemOvercommitInPct15Min = InPercent(memory.OvercommitAverages[2]),
                NumOfNUMANodes = Topology.NodeCount,
            };
        }
    }

    private IEnumerable<SchedGroupCounter> Groups()
    {
        ILookup<Guid, WorldSample> worlds = (host.Services.Scheduler?.Sample() ?? []).ToLookup(static world => world.MachineId);
        foreach (VirtualMachineConfiguration machine in host.GetRunningHere().Select(static running => running.Configuration))
        {
            // One that is being powered on or off may have no world.
            if (worlds[machine.Id].FirstOrDefault() is not { } first)
            {
                continue;
            }

            ResourceSettings resources = (host.FindMachine(machine.Id)?.Configuration ?? machine).Resources;
            yield return new SchedGroupCounter
            {
                GroupID = first.GroupId,
                VMName = first.MachineName,
                CPUAllocMin = resources.CpuReservationMhz,
                CPUAllocMax = resources.CpuLimitMhz ?? -1,
                CPUAllocShares = Shares.OfMachineCpu(resources.CpuSharesLevel, machine.NumCpu, resources.NumCpuShares),
                MemAllocMin = resources.MemReservationMB * KBPerMB,
                MemAllocMax = resources.MemLimitMB is { } limit ? limit * KBPerMB : -1,
                MemAllocShares = Shares.OfMachineMemory(resources.MemSharesLevel, machine.MemoryMB, resources.NumMemShares),
                IsNUMAValid = first.HomeNode >= 0,
                HomeNodes = first.HomeNode >= 0 ? 1L << first.HomeNode : 0,
                NumOfNUMANodes = Topology.NodeCount,
                NumOfBalanceMigrations = first.HomeMigrations,
                HasMemClient = HasMemory(machine.Id),
                NumOfCPUClients = worlds[machine.Id].Count(),
            };
        }
    }

    private static VcpuCounter Of(EsxTopCpuCounters world) => new()
    {
        VCPUID = world.WorldId,
        WorldName = world.WorldName,
        UpTimeInUsec = world.UpTimeInUsec,
        UsedTimeInUsec = world.UsedTimeInUsec,
        RunTimeInUsec = world.RunTimeInUsec,
        ReadyTimeInUsec = world.ReadyTimeInUsec,
        CoStopTimeInUsec = world.CoStopTimeInUsec,
        WaitTimeInUsec = world.WaitTimeInUsec,
        IdleTimeInUsec = world.IdleTimeInUsec,
        MaxLimitedTimeInUsec = world.MaxLimitedTimeInUsec,
        NumOfSwitches = world.Dispatches,
        NumOfMigrations = world.Migrations,
    };

    private static MemClientCounter Of(EsxTopMemoryCounters machine) => new()
    {
        MemClientID = machine.GroupId!.Value,
        VMName = machine.Name,
        MemSizeInKB = machine.MemorySizeBytes / BytesPerKB,
        GrantedInKB = machine.GrantedBytes / BytesPerKB,
        ConsumedInKB = machine.ConsumedBytes / BytesPerKB,
        TargetSizeInKB = machine.TargetSizeBytes / BytesPerKB,
        TouchedInKB = machine.TouchedBytes / BytesPerKB,
        OverheadInKB = machine.OverheadBytes / BytesPerKB,
        HasMemCtl = machine.HasMemctl,
        MemCtlMaxInKB = machine.MemctlMaxBytes / BytesPerKB,
        MemCtlCurInKB = machine.MemctlBytes / BytesPerKB,
        MemCtlTgtInKB = machine.MemctlTargetBytes / BytesPerKB,
        SwapUsedInKB = machine.SwappedBytes / BytesPerKB,
        SwapTgtInKB = machine.SwapTargetBytes / BytesPerKB,
        SwapReadInKB = machine.SwapReadBytes / BytesPerKB,
        SwapWrtnInKB = machine.SwapWrittenBytes / BytesPerKB,
        SwapWaitTimeInUsec = machine.SwapWaitTimeInUsec,
        ZippedInKB = machine.ZippedBytes / BytesPerKB,
        ZipSavedInKB = (machine.ZippedBytes - machine.CacheUsedBytes) / BytesPerKB,
        PShareSharedInKB = machine.SharedBytes / BytesPerKB,
        PShareZeroInKB = machine.ZeroBytes / BytesPerKB,
    };

    private static NetPortCounter Of(EsxTopNetworkCounters port) => new()
    {
        PortID = port.PortId,
        PortsetName = port.NetworkName,
        ClientName = port.Name,
        TeamUplink = port.Uplink ?? NoUplink,
        LinkUp = port.LinkUp,
        MacAddress = port.MacAddress,
        NumOfSendPackets = port.PacketsSent,
        NumOfSendBytes = port.BytesSent,
        NumOfDroppedSendPackets = port.PacketsSendDropped,
        NumOfRecvPackets = port.PacketsReceived,
        NumOfRecvBytes = port.BytesReceived,
        NumOfDroppedRecvPackets = port.PacketsReceiveDropped,
    };

    private static long InPercent(double part) => (long)Math.Round(Percent * part);
}
