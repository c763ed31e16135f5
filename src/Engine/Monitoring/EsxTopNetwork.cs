using Hypervisor.Engine.Network;

namespace Hypervisor.Engine.Monitoring;

/// <summary>What went through a network port since it was made: the raw counters of the network panel.</summary>
public sealed class EsxTopNetworkCounters : IEsxTopCounters
{
    internal EsxTopNetworkCounters(NetworkPortSample sample, int? group)
    {
        (Sample, GroupId) = (sample, group);
        UpTimeInUsec = (long)sample.UpTime.TotalMicroseconds;
    }

    /// <inheritdoc/>
    public string Name => Sample.MachineName;

    /// <summary>Number of the port.</summary>
    public int PortId => Sample.PortId;

    /// <summary>Number of the machine's group of worlds; null where nothing schedules it.</summary>
    public int? GroupId { get; }

    /// <summary>Identity of the machine.</summary>
    public Guid VMId => Sample.MachineId;

    /// <summary>The adapter, such as <c>network adapter 1</c>.</summary>
    public string Adapter => Sample.Adapter;

    /// <summary>The adapter's address.</summary>
    public string MacAddress => Sample.MacAddress;

    /// <summary>The network or switch.</summary>
    public string NetworkName => Sample.Network;

    /// <summary>The host's adapter behind the port; null without one.</summary>
    public string? Uplink => Sample.Uplink;

    /// <summary>The cable is plugged in.</summary>
    public bool LinkUp => Sample.LinkUp;

    /// <summary>Time since the port was made, µs.</summary>
    public long UpTimeInUsec { get; }

    /// <summary>Frames that the guest sent; a large segment counts as one.</summary>
    public long PacketsSent => Sample.Statistics.TransmittedPackets;

    /// <summary>Bytes of those.</summary>
    public long BytesSent => Sample.Statistics.TransmittedBytes;

    /// <summary>Frames of the guest that were dropped.</summary>
    public long PacketsSendDropped => Sample.Statistics.TransmittedDropped;

    /// <summary>Frames that the guest was given.</summary>
    public long PacketsReceived => Sample.Statistics.ReceivedPackets;

    /// <summary>Bytes of those.</summary>
    public long BytesReceived => Sample.Statistics.ReceivedBytes;

    /// <summary>Frames for the guest that were dropped.</summary>
    public long PacketsReceiveDropped => Sample.Statistics.ReceivedDropped;

    internal NetworkPortSample Sample { get; }
}

/// <summary>A line of the network panel: a port. Sending and receiving are the guest's; a megabit is a million bits.</summary>
public sealed class EsxTopNetwork : IEsxTopRow
{
    private const double BitsPerByte = 8, BitsPerMegabit = 1e6, MicrosecondsPerSecond = 1e6;
    private const string NoUplink = "n/a";

    internal EsxTopNetwork(EsxTopNetworkCounters? before, EsxTopNetworkCounters after)
    {
        double seconds = (after.UpTimeInUsec - (before?.UpTimeInUsec ?? 0)) / MicrosecondsPerSecond;
        long sent = after.PacketsSent - (before?.PacketsSent ?? 0), sentBytes = after.BytesSent - (before?.BytesSent ?? 0), sentDropped = after.PacketsSendDropped - (before?.PacketsSendDropped ?? 0);
        long received = after.PacketsReceived - (before?.PacketsReceived ?? 0), receivedBytes = after.BytesReceived - (before?.BytesReceived ?? 0);
        long receivedDropped = after.PacketsReceiveDropped - (before?.PacketsReceiveDropped ?? 0);
        (PortId, Name, TeamUplink, DeviceName) = (after.PortId, after.Name, after.Uplink ?? NoUplink, after.NetworkName);
        (GroupId, Adapter, LinkUp) = (after.GroupId, after.Adapter, after.LinkUp);
        PacketsTransmittedPerSec = Math.Round(sent / seconds, 2);
        MbTransmittedPerSec = Math.Round(sentBytes * BitsPerByte / BitsPerMegabit / seconds, 2);
        PacketSizeTransmitted = Mean(sentBytes, sent);
        PacketsReceivedPerSec = Math.Round(received / seconds, 2);
        MbReceivedPerSec = Math.Round(receivedBytes * BitsPerByte / BitsPerMegabit / seconds, 2);
        PacketSizeReceived = Mean(receivedBytes, received);
        PctDroppedTransmit = Percent(sentDropped, sent);
        PctDroppedReceive = Percent(receivedDropped, received);
    }

    /// <summary>PORT-ID.</summary>
    public int PortId { get; }

    /// <summary>USED-BY: the machine.</summary>
    public string Name { get; }

    /// <summary>TEAM-PNIC: the host's adapter behind the port; <c>n/a</c> where frames leave through sockets of this process.</summary>
    public string TeamUplink { get; }

    /// <summary>DNAME: the network or switch.</summary>
    public string DeviceName { get; }

    /// <summary>The adapter, such as <c>network adapter 1</c>.</summary>
    public string Adapter { get; }

    /// <summary>The cable is plugged in.</summary>
    public bool LinkUp { get; }

    /// <summary>Number of the machine's group of worlds; null where nothing schedules it.</summary>
    public int? GroupId { get; }

    /// <summary>PKTTX/s; a segment that is cut later (TSO) counts as one.</summary>
    public double PacketsTransmittedPerSec { get; }

    /// <summary>MbTX/s.</summary>
    public double MbTransmittedPerSec { get; }

    /// <summary>PSZTX: mean size, bytes.</summary>
    public double PacketSizeTransmitted { get; }

    /// <summary>PKTRX/s.</summary>
    public double PacketsReceivedPerSec { get; }

    /// <summary>MbRX/s.</summary>
    public double MbReceivedPerSec { get; }

    /// <summary>PSZRX: mean size, bytes.</summary>
    public double PacketSizeReceived { get; }

    /// <summary>%DRPTX: of what the guest sent, the part that was malformed or found no link. More than 0 is worth a look.</summary>
    public double PctDroppedTransmit { get; }

    /// <summary>%DRPRX: of what was for the guest, the part that found no driver, no link or no room. More than 0 is worth a look.</summary>
    public double PctDroppedReceive { get; }

    private static double Mean(long bytes, long packets) => packets == 0 ? 0 : Math.Round(bytes / (double)packets, 1);

    private static double Percent(long dropped, long passed) => dropped == 0 ? 0 : Math.Round(100.0 * dropped / (dropped + passed), 2);
}
