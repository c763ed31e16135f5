namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>A value of a sample.</summary>
/// <param name="Counter">What it is of.</param>
/// <param name="Instance">Part of the entity, such as a virtual processor; empty for the whole.</param>
/// <param name="Value">The value, in the counter's unit.</param>
/// <param name="Weight">Requests that it is the mean of, for a counter that is weighted; 1 for others.</param>
internal readonly record struct StatisticsValue(StatisticsCounter Counter, string Instance, double Value, long Weight = 1);

/// <summary>The values of an entity.</summary>
/// <param name="EntityId">Identity of the machine or the host.</param>
/// <param name="IsShared">Several processes have a part in each value: the host's are what the machines of all of them use.</param>
/// <param name="Values">The values.</param>
internal sealed record EntityValues(string EntityId, bool IsShared, IReadOnlyList<StatisticsValue> Values);

/// <summary>What was found out at a tick, to be recorded in one transaction.</summary>
/// <param name="Time">End of the period of 20 seconds, seconds since 1970 in UTC.</param>
/// <param name="Entities">The values.</param>
internal sealed record SampleBatch(long Time, IReadOnlyList<EntityValues> Entities);
