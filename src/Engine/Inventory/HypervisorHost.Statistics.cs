using System.Diagnostics;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Monitoring.Statistics;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Inventory;

// What the statistics read of the machines that run here.
public sealed partial class HypervisorHost
{
    private const int KBPerMB = 1024;

    /// <summary>Samples of machines and host over time.</summary>
    public StatisticsService Statistics { get; }

    private static long MonotonicNanoseconds => Stopwatch.GetElapsedTime(0).Ticks * TimeSpan.NanosecondsPerTick;

    /// <summary>What running machines use of the host: those of this process now, those of others by their last sample.</summary>
    /// <param name="machines">All machines.</param>
    internal (long CpuMHz, long MemoryMB) Usage(IReadOnlyList<VirtualMachine> machines)
    {
        VirtualMachine[] running = [.. machines.Where(static machine => machine.PowerState == PowerState.PoweredOn)];
        VirtualMachine[] elsewhere = [.. running.Where(machine => !_running.ContainsKey(machine.Id))];
        HostMemoryStatistics? memory = GetMemoryStatistics();
        long managedMB = (memory?.UsedBytes ?? 0) >> 20;
        long unmanagedMB = memory is not null ? 0 : running.Except(elsewhere).Sum(static machine => (long)machine.MemoryMB);
        (long cpu, long memoryMB) = (CpuUsageMHz(), managedMB + unmanagedMB);
        if (elsewhere.Length == 0)
        {
            return (cpu, memoryMB);
        }

        try
        {
            string[] ids = [.. elsewhere.Select(static machine => StatisticsService.EntityIdOf(machine.Id))];
            IReadOnlyDictionary<string, double> consumed = Statistics.Newest(ids, StatisticsCounters.MemoryConsumed);
            IReadOnlyDictionary<string, double> overhead = Statistics.Newest(ids, StatisticsCounters.MemoryOverhead);
            double othersMB = elsewhere.Sum(machine => consumed.TryGetValue(StatisticsService.EntityIdOf(machine.Id), out double kilobytes)
                ? (kilobytes + overhead.GetValueOrDefault(StatisticsService.EntityIdOf(machine.Id))) / KBPerMB
                : machine.MemoryMB);
            return (cpu + (long)Statistics.Newest(ids, StatisticsCounters.CpuUsageMHz).Values.Sum(), memoryMB + (long)othersMB);
        }
        catch (StatisticsException)
        {
            // Get-Stat says what is wrong with the database; without it nothing is known of other processes but what their machines may take.
            return (cpu, memoryMB + elsewhere.Sum(static machine => (long)machine.MemoryMB));
        }
    }

    internal HostReading ReadCounters()
    {
        ILookup<Guid, WorldSample> worlds = (Services.Scheduler?.Sample() ?? []).ToLookup(static world => world.MachineId);
        ILookup<Guid, DiskReading> disks = Services.StorageIo.Datastores
            .SelectMany(static datastore => datastore.Disks)
            .ToLookup(static disk => disk.Identity.MachineId, static disk => new DiskReading(disk.Identity.Index, disk.Datastore.Name, disk.Statistics));
        HostMemoryStatistics? memory = GetMemoryStatistics();
        var managed = (memory?.Machines ?? []).ToDictionary(static machine => machine.Id);
        HostTopology processors = Services.Processors.Value;
        (CapacityReading? capacity, IReadOnlyList<PoolReading> pools) = ReadPools();
        return new HostReading
        {
            Capacity = capacity,
            Pools = pools,
            Datastores = ReadDatastores(),
            Machines = [.. _running.Values.Select(running => Read(running, worlds[running.Id], disks[running.Id], managed.GetValueOrDefault(running.Id)))],
            ProcessorMHz = processors.ProcessorMHz,
            CapacityMHz = CapacityMHz(processors),
            MemoryKB = (long)Services.PhysicalMemoryMB * KBPerMB,
            Memory = memory,
            Uptime = TimeSpan.FromMilliseconds(Environment.TickCount64),
        };
    }

    private static MachineReading Read(RunningMachine running, IEnumerable<WorldSample> worlds, IEnumerable<DiskReading> disks, MachineMemoryStatistics? memory) => new()
    {
        Id = running.Id,
        Time = MonotonicNanoseconds,
        PoweredOn = running.PoweredOnAt,
        Processors = [.. worlds.OrderBy(static world => world.Index).Select(static world => new ProcessorReading(
            world.Age, world.Times.Run, world.Used, world.Times.Ready, world.Times.CoStop, world.Times.Idle, world.Times.Limited))],
        Disks = [.. disks.OrderBy(static disk => disk.Index)],
        Adapters = [.. running.Machine.GetNetworkPorts().Select(static port => port.Statistics)],
        Memory = new MemoryReading((long)running.Machine.Configuration.MemoryMB * KBPerMB, memory),
    };

    // The host's own pool is one of them.
    private (CapacityReading? Capacity, IReadOnlyList<PoolReading> Pools) ReadPools()
    {
        try
        {
            ResourceDocument document = _resources.Read();
            IReadOnlyList<VirtualMachineConfiguration> running = PoweredOnMachines();
            (Admission cpu, Admission memory) = Admissions(document, running);
            var capacity = new CapacityReading(cpu.Used(null) + cpu.Unreserved(null), cpu.Used(null), memory.Used(null) + memory.Unreserved(null), memory.Used(null), memory.Unreserved(null));
            var parents = document.Pools.ToDictionary(static pool => pool.Id, static pool => pool.ParentId);
            var members = new Dictionary<string, List<Guid>>(StringComparer.Ordinal);
            foreach (VirtualMachineConfiguration machine in running.Where(machine => _running.ContainsKey(machine.Id)))
            {
                Guid? pool = machine.ResourcePoolId is { } own && parents.ContainsKey(own) ? own : null;
                for (bool more = true; more; pool = pool is { } id ? parents.GetValueOrDefault(id) : null)
                {
                    more = pool is not null;
                    string entity = ResourcePool.IdOf(pool);
                    (members.TryGetValue(entity, out List<Guid>? machines) ? machines : members[entity] = []).Add(machine.Id);
                }
            }

            return (capacity, [.. members.Select(static pool => new PoolReading(pool.Key, pool.Value))]);
        }
        catch (Exception exception) when (exception is MachineException or InvalidConfigurationException or IOException or UnauthorizedAccessException)
        {
            // As with the budget: commands say what is wrong with the files.
            return (null, []);
        }
    }

    private long CapacityMHz(HostTopology processors)
    {
        try
        {
            return Budget().CapacityMHz;
        }
        catch (Exception exception) when (exception is MachineException or InvalidConfigurationException or IOException or UnauthorizedAccessException)
        {
            // Settings that somebody broke: machines go on with what they had, and commands say what is wrong.
            return (long)processors.Count * processors.ProcessorMHz;
        }
    }
}
