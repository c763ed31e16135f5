using System.Diagnostics;
using Hypervisor.Engine.Machines;
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

    internal HostReading ReadCounters()
    {
        ILookup<Guid, WorldSample> worlds = (Services.Scheduler?.Sample() ?? []).ToLookup(static world => world.MachineId);
        ILookup<Guid, DiskReading> disks = Services.StorageIo.Datastores
            .SelectMany(static datastore => datastore.Disks)
            .ToLookup(static disk => disk.Identity.MachineId, static disk => new DiskReading(disk.Identity.Index, disk.Datastore.Name, disk.Statistics));
        HostTopology processors = Services.Processors.Value;
        return new HostReading
        {
            Machines = [.. _running.Values.Select(running => Read(running, worlds[running.Machine.Configuration.Id], disks[running.Machine.Configuration.Id]))],
            ProcessorMHz = processors.ProcessorMHz,
            CapacityMHz = CapacityMHz(processors),
            MemoryKB = (long)Services.PhysicalMemoryMB * KBPerMB,
            Uptime = TimeSpan.FromMilliseconds(Environment.TickCount64),
        };
    }

    private static MachineReading Read(RunningMachine running, IEnumerable<WorldSample> worlds, IEnumerable<DiskReading> disks) => new()
    {
        Id = running.Machine.Configuration.Id,
        Time = MonotonicNanoseconds,
        PoweredOn = running.PoweredOnAt,
        Processors = [.. worlds.OrderBy(static world => world.Index).Select(static world => new ProcessorReading(
            world.Age, world.Times.Run, world.Used, world.Times.Ready, world.Times.CoStop, world.Times.Idle, world.Times.Limited))],
        Disks = [.. disks.OrderBy(static disk => disk.Index)],
        Adapters = [.. running.Machine.GetNetworkPorts().Select(static port => port.Statistics)],
        Memory = new MemoryReading((long)running.Machine.Configuration.MemoryMB * KBPerMB),
    };

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
