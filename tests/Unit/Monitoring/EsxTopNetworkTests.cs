using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Network;

namespace Hypervisor.Tests.Unit.Monitoring;

public sealed class EsxTopNetworkTests
{
    private static EsxTopNetworkCounters Port(int id, string machine, double seconds, NetworkAdapterStatistics statistics, int? group = 100) => new(
        new NetworkPortSample
        {
            PortId = id, MachineName = machine, MachineId = Guid.Empty, Adapter = "network adapter 1", MacAddress = "00:50:56:00:00:01", Network = "NAT", LinkUp = true,
            UpTime = TimeSpan.FromSeconds(seconds), Statistics = statistics,
        },
        group);

    private static EsxTopNetworkPanel Panel => new(static () => [], static _ => null);

    private static readonly EsxTopNetworkCounters[] Before = [Port(7, "web", 10, new NetworkAdapterStatistics(100, 10_000, 0, 50, 5_000, 1))];

    private static readonly EsxTopNetworkCounters[] After =
    [
        Port(7, "web", 12, new NetworkAdapterStatistics(300, 260_000, 0, 140, 130_000, 11)), Port(8, "db (new)", 1, new NetworkAdapterStatistics(0, 0, 3, 10, 600, 0), group: null),
    ];

    [Fact]
    public void Packets_megabits_sizes_and_drops_are_of_the_interval()
    {
        EsxTopNetwork[] rows = [.. Panel.Compare(Before, After, expand: false).Cast<EsxTopNetwork>()];
        EsxTopNetwork web = rows[0];
        Assert.Equal((7, "web", "n/a", "NAT"), (web.PortId, web.Name, web.TeamUplink, web.DeviceName));
        Assert.Equal((100.0, 1.0, 1250.0), (web.PacketsTransmittedPerSec, web.MbTransmittedPerSec, web.PacketSizeTransmitted));
        Assert.Equal((45.0, 0.5, 1388.9), (web.PacketsReceivedPerSec, web.MbReceivedPerSec, web.PacketSizeReceived));
        Assert.Equal((0.0, 10.0), (web.PctDroppedTransmit, web.PctDroppedReceive));

        // A port that came in the middle counts from when it was made; what was only dropped is all of it.
        Assert.Equal((10.0, 60.0, 100.0, 0.0), (rows[1].PacketsReceivedPerSec, rows[1].PacketSizeReceived, rows[1].PctDroppedTransmit, rows[1].PacketsTransmittedPerSec));
        Assert.Empty(Panel.Compare(After, After, expand: true));
    }

    [Fact]
    public void Batch_mode_has_esxtops_columns()
    {
        string heading = new PerfmonCsv("h").Lines(DateTime.UtcNow, Panel.Batch(Before, After)).First();
        foreach (string column in (string[])
            [
                @"\\h\Network Port(NAT:7:100:web)\Packets Transmitted/sec", @"\\h\Network Port(NAT:7:100:web)\MBits Received/sec", @"\\h\Network Port(NAT:8:db [new])\% Outbound Packets Dropped",
            ])
        {
            Assert.Contains($"\"{column}\"", heading, StringComparison.Ordinal);
        }
    }
}
