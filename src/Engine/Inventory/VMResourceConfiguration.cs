using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Engine.Inventory;

/// <summary>Shares, reservations and limits of a machine as they were when they were asked for, with PowerCLI's property names.</summary>
public sealed class VMResourceConfiguration
{
    private const decimal MBPerGB = 1024m;
    private const long BytesPerMB = 1 << 20;

    private readonly ResourceSettings _settings;
    private readonly Lazy<long?> _entitlement;

    internal VMResourceConfiguration(VirtualMachine machine)
    {
        Machine = machine;
        _settings = machine.Configuration.Resources;
        _entitlement = new Lazy<long?>(() => machine.Host?.GetMemoryStatistics()?.Machines.FirstOrDefault(running => running.Id == machine.Id)?.EntitlementBytes / BytesPerMB);
    }

    /// <summary>The machine.</summary>
    public VirtualMachine VM => Machine;

    /// <summary>Identity of the machine.</summary>
    public Guid VMId => Machine.Id;

    /// <summary>Level of its CPU shares.</summary>
    public SharesLevel CpuSharesLevel => _settings.CpuSharesLevel;

    /// <summary>CPU shares beside its siblings'.</summary>
    public int NumCpuShares => Shares.OfMachineCpu(_settings.CpuSharesLevel, Machine.NumCpu, _settings.NumCpuShares);

    /// <summary>Reserved processor time, MHz.</summary>
    public long CpuReservationMhz => _settings.CpuReservationMhz;

    /// <summary>Processor time it never gets more than, MHz; -1 without a limit.</summary>
    public long CpuLimitMhz => _settings.CpuLimitMhz ?? -1;

    /// <summary>Physical processors it may use; empty for all.</summary>
    public int[] CpuAffinityList => [.. _settings.CpuAffinityList];

    /// <summary>What its virtual processors share physical cores with: any machine, as the scheduler knows logical processors and no cores.</summary>
    public HTCoreSharing HTCoreSharing => HTCoreSharing.Any;

    /// <summary>How much it suffers from waiting for a processor.</summary>
    public LatencySensitivity LatencySensitivity => _settings.LatencySensitivity;

    /// <summary>Level of its memory shares.</summary>
    public SharesLevel MemSharesLevel => _settings.MemSharesLevel;

    /// <summary>Memory shares beside its siblings'.</summary>
    public int NumMemShares => Shares.OfMachineMemory(_settings.MemSharesLevel, Machine.MemoryMB, _settings.NumMemShares);

    /// <summary>Memory that is never taken from it, MB.</summary>
    public long MemReservationMB => _settings.MemReservationMB;

    /// <summary>Memory that is never taken from it, GB.</summary>
    public decimal MemReservationGB => Math.Round(_settings.MemReservationMB / MBPerGB, 3);

    /// <summary>Physical memory it never gets more than, MB; -1 without a limit.</summary>
    public long MemLimitMB => _settings.MemLimitMB ?? -1;

    /// <summary>Physical memory it never gets more than, GB; -1 without a limit.</summary>
    public decimal MemLimitGB => _settings.MemLimitMB is { } limit ? Math.Round(limit / MBPerGB, 3) : -1;

    /// <summary>Memory of the host that it is entitled to at present, by its shares, what it uses and how much there is, MB; null when it does not run in this process.</summary>
    public long? MemEntitlementMB => _entitlement.Value;

    /// <summary>Shares and limits of its disks, in order.</summary>
    public DiskResourceConfiguration[] DiskResourceConfiguration => [.. Machine.Configuration.Disks.Select(static (disk, index) => new DiskResourceConfiguration(disk, index))];

    internal VirtualMachine Machine { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Machine.Name}: CPU {CpuSharesLevel}:{NumCpuShares}, memory {MemSharesLevel}:{NumMemShares}";
}
