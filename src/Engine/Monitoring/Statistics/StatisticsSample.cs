using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>A value of a counter over a period, with PowerCLI's property names.</summary>
public sealed class StatisticsSample
{
    private const int Digits = 3;

    internal StatisticsSample(object entity, string entityId, StatisticsCounter counter, string instance, StatisticsInterval interval, DateTimeOffset time, double value)
    {
        Entity = entity;
        EntityId = entityId;
        MetricId = counter.Name;
        (Unit, Description, Instance) = (counter.Unit, counter.Description, instance);
        (IntervalSecs, Timestamp) = (interval.SamplingPeriodSecs, time.LocalDateTime);
        ExactValue = value;
    }

    /// <summary>The counter, such as <c>cpu.usage.average</c>.</summary>
    public string MetricId { get; }

    /// <summary>End of the period, local time.</summary>
    public DateTime Timestamp { get; }

    /// <summary>The value, to a thousandth.</summary>
    public double Value => Math.Round(ExactValue, Digits);

    /// <summary>Unit of the value: %, MHz, KB, MB, KBps (of 1024 bytes), millisecond, microsecond, number or second.</summary>
    public string Unit { get; }

    /// <summary>Part of the entity: a virtual processor (<c>0</c>), a disk (<c>scsi0:0</c>), a network adapter (<c>4000</c>), a datastore of a machine or of the host; empty for the whole.</summary>
    public string Instance { get; }

    /// <summary>The <see cref="VirtualMachine"/>, <see cref="ResourcePool"/>, <see cref="Datastore"/> or <see cref="VMHost"/>.</summary>
    public object Entity { get; }

    /// <summary>Its identity.</summary>
    public string EntityId { get; }

    /// <summary>Length of the period, seconds.</summary>
    public int IntervalSecs { get; }

    /// <summary>What the counter says.</summary>
    public string Description { get; }

    internal double ExactValue { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{MetricId} {Value} {Unit}";
}
