using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Monitoring;

/// <summary>The network panel: a line for each port of the machines that run in this process.</summary>
/// <param name="machines">The machines.</param>
/// <param name="groupOf">Number of a machine's group of worlds.</param>
internal sealed class EsxTopNetworkPanel(Func<IReadOnlyList<IMachine>> machines, Func<Guid, int?> groupOf) : EsxTopPanel
{
    /// <inheritdoc/>
    public override string Name => "Network";

    /// <inheritdoc/>
    public override Type RowType => typeof(EsxTopNetwork);

    /// <inheritdoc/>
    public override IReadOnlyList<IEsxTopCounters> Take() =>
        [.. machines().SelectMany(static machine => machine.GetNetworkPorts()).OrderBy(static port => port.PortId).Select(port => new EsxTopNetworkCounters(port, groupOf(port.MachineId)))];

    /// <inheritdoc/>
    /// <remarks>esxtop knows ports and nothing below or above; expanded or not, the lines are the same.</remarks>
    public override IReadOnlyList<IEsxTopRow> Compare(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after, bool expand) => Rows(before, after);

    /// <inheritdoc/>
    public override IEnumerable<EsxTopValue> Batch(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        foreach (EsxTopNetwork row in Rows(before, after))
        {
            // Switch, port, group, user: a port of the host itself has no group.
            string used = row.GroupId is { } group ? $"{group}:{PerfmonCsv.Instance(row.Name)}" : PerfmonCsv.Instance(row.Name);
            string instance = $"Network Port({PerfmonCsv.Instance(row.DeviceName)}:{row.PortId}:{used})";
            yield return new EsxTopValue(instance, "Link Up (1=Up, 0=Down)", row.LinkUp ? 1 : 0);
            yield return new EsxTopValue(instance, "Packets Transmitted/sec", row.PacketsTransmittedPerSec);
            yield return new EsxTopValue(instance, "MBits Transmitted/sec", row.MbTransmittedPerSec);
            yield return new EsxTopValue(instance, "Average Packet Size Transmitted", row.PacketSizeTransmitted);
            yield return new EsxTopValue(instance, "Packets Received/sec", row.PacketsReceivedPerSec);
            yield return new EsxTopValue(instance, "MBits Received/sec", row.MbReceivedPerSec);
            yield return new EsxTopValue(instance, "Average Packet Size Received", row.PacketSizeReceived);
            yield return new EsxTopValue(instance, "% Outbound Packets Dropped", row.PctDroppedTransmit);
            yield return new EsxTopValue(instance, "% Received Packets Dropped", row.PctDroppedReceive);
        }
    }

    private static EsxTopNetwork[] Rows(IReadOnlyList<IEsxTopCounters> before, IReadOnlyList<IEsxTopCounters> after)
    {
        var earlier = before.OfType<EsxTopNetworkCounters>().ToDictionary(static counters => counters.PortId);
        return
        [
            .. after.OfType<EsxTopNetworkCounters>()
                .Select(now => (Before: earlier.GetValueOrDefault(now.PortId), After: now))
                .Where(static pair => pair.After.UpTimeInUsec > (pair.Before?.UpTimeInUsec ?? 0))
                .Select(static pair => new EsxTopNetwork(pair.Before, pair.After)),
        ];
    }
}
