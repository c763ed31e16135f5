using Hypervisor.Engine.Network;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Tests.Unit.Network;

/// <summary>
/// The guest's end of one TCP connection, written for clarity: go-back-N sending, cumulative acknowledgements, out-of-order
/// segments kept. The link between it and the network loses, repeats and swaps frames as a seed says.
/// </summary>
internal sealed class MockTcpPeer(MockGuest guest, uint remote, ushort remotePort, ushort localPort)
{
    private const int SegmentSize = 1460;

    private readonly List<byte> _toSend = [];
    private readonly SortedDictionary<uint, byte[]> _outOfOrder = [];
    private readonly List<byte[]> _held = [];
    private readonly uint _initial = 1000;
    private int _acknowledged, _sent;
    private long _lastProgress;
    private uint _peerWindow = 65535;
    private int _peerShift;
    private bool _finQueued, _finSent;

    public ushort RemotePort { get; private set; } = remotePort;

    public List<byte> Received { get; } = [];

    public bool Established { get; private set; }

    public bool FinReceived { get; private set; }

    public bool FinAcknowledged { get; private set; }

    public bool ResetReceived { get; private set; }

    public bool WindowScaling { get; set; } = true;

    public bool LargeSegments { get; set; }

    /// <summary>Bytes that may wait unread; the window shown to the network is what is left of it.</summary>
    public int ReceiveBuffer { get; set; } = 60_000;

    /// <summary>Bytes of <see cref="Received"/> that the guest's program has read.</summary>
    public int Read { get; set; } = int.MaxValue;

    public uint ReceiveNext { get; private set; }

    public Random? Trouble { get; set; }

    public double Loss { get; set; }

    public long Acknowledged => _acknowledged;

    private uint Window => (uint)Math.Max(0, ReceiveBuffer - Math.Max(0, Received.Count - Read));

    private uint SequenceOf(int offset) => _initial + 1 + (uint)offset;

    public void Connect()
    {
        SendSegment(_initial, TcpFlags.Syn, [], syn: true);
        guest.WaitFor(() =>
        {
            Pump();
            return Established || ResetReceived;
        });
    }

    public void Write(ReadOnlySpan<byte> data) => _toSend.AddRange(data);

    public void Close() => _finQueued = true;

    public void SendReset() => SendSegment(SequenceOf(_sent), TcpFlags.Reset, []);

    public void PumpUntil(Func<bool> condition) => guest.WaitFor(() =>
    {
        Pump();
        return condition();
    });

    /// <summary>Takes what came, sends what may be sent.</summary>
    public void Pump()
    {
        bool got = false;
        foreach (byte[] frame in TakeFrames())
        {
            Assert.True(Ipv4Packet.TryParse(frame.AsSpan(14), out var packet));
            Assert.True(TcpSegment.TryParse(packet.Payload, out var segment));
            got = true;
            Take(segment);
        }

        if (!Established)
        {
            if (!ResetReceived && Now - _lastProgress > 500_000 && RemotePort != 0 && ReceiveNext == 0)
            {
                SendSegment(_initial, TcpFlags.Syn, [], syn: true);
            }

            return;
        }

        if (Now - _lastProgress > 300_000 && (_sent > _acknowledged || (_finSent && !FinAcknowledged)))
        {
            _sent = _acknowledged;
            _finSent = false;
            _lastProgress = Now;
        }

        while (_sent < _toSend.Count && _sent - _acknowledged < _peerWindow)
        {
            int size = LargeSegments ? SegmentSize * 40 : SegmentSize;
            int count = (int)Math.Min(Math.Min(size, _toSend.Count - _sent), _peerWindow - (_sent - _acknowledged));
            SendSegment(SequenceOf(_sent), TcpFlags.Acknowledge | TcpFlags.Push, [.. _toSend.GetRange(_sent, count)]);
            _sent += count;
        }

        if (_finQueued && !_finSent && _sent == _toSend.Count)
        {
            SendSegment(SequenceOf(_sent), TcpFlags.Acknowledge | TcpFlags.Fin, []);
            _finSent = true;
        }

        if (got)
        {
            Acknowledge();
        }
    }

    public void Acknowledge() => SendSegment(SequenceOf(_sent) + (_finSent ? 1u : 0), TcpFlags.Acknowledge, []);

    /// <summary>Waits for a SYN from the network to a listening port and answers it.</summary>
    public void Accept()
    {
        byte[] frame = guest.Take(f => MockGuest.IsIpv4(f, Ipv4Packet.Tcp, remote)
            && TcpSegment.TryParse(f.AsSpan(34), out var s) && s.Flags == TcpFlags.Syn && s.DestinationPort == localPort);
        Assert.True(TcpSegment.TryParse(frame.AsSpan(34), out var syn));
        syn.ReadOptions(out _, out int shift, out _);
        _peerShift = WindowScaling ? Math.Max(shift, 0) : 0;
        RemotePort = syn.SourcePort;
        ReceiveNext = syn.Sequence + 1;
        SendSegment(_initial, TcpFlags.Syn | TcpFlags.Acknowledge, [], syn: true);
        Established = true;
        PumpUntil(() => _lastProgress != 0);
    }

    public void Refuse()
    {
        byte[] frame = guest.Take(f => MockGuest.IsIpv4(f, Ipv4Packet.Tcp, remote)
            && TcpSegment.TryParse(f.AsSpan(34), out var s) && s.Flags == TcpFlags.Syn && s.DestinationPort == localPort);
        Assert.True(TcpSegment.TryParse(frame.AsSpan(34), out var syn));
        RemotePort = syn.SourcePort;
        ReceiveNext = syn.Sequence + 1;
        SendSegment(0, TcpFlags.Reset | TcpFlags.Acknowledge, []);
    }

    private long Now => guest.Time.GetTimestamp() / 10;

    private List<byte[]> TakeFrames()
    {
        var frames = new List<byte[]>();
        while (guest.TryTake(
            f => MockGuest.IsIpv4(f, Ipv4Packet.Tcp, remote) && TcpSegment.TryParse(f.AsSpan(34), out var s)
                && s.DestinationPort == localPort && s.SourcePort == RemotePort,
            out byte[]? frame))
        {
            Disturb(frame!, frames.Add);
        }

        return frames;
    }

    private void Take(in TcpSegment segment)
    {
        if (segment.Has(TcpFlags.Reset))
        {
            ResetReceived = true;
            return;
        }

        if (segment.Has(TcpFlags.Syn) && !Established)
        {
            Assert.Equal(_initial + 1, segment.Acknowledgment);
            segment.ReadOptions(out int maximum, out int shift, out _);
            Assert.Equal(SegmentSize, maximum);
            Assert.Equal(WindowScaling, shift >= 0);
            _peerShift = WindowScaling ? shift : 0;
            _peerWindow = segment.Window;
            ReceiveNext = segment.Sequence + 1;
            Established = true;
            return;
        }

        _peerWindow = (uint)segment.Window << _peerShift;
        int acknowledged = (int)(segment.Acknowledgment - SequenceOf(0));
        if (acknowledged == _toSend.Count + 1 && _finSent)
        {
            FinAcknowledged = true;
            acknowledged--;
        }

        Assert.InRange(acknowledged, 0, _toSend.Count);
        if (acknowledged > _acknowledged || _lastProgress == 0)
        {
            _acknowledged = Math.Max(acknowledged, _acknowledged);
            _sent = Math.Max(_sent, _acknowledged);
            _lastProgress = Now;
        }

        if (segment.Length > 0)
        {
            byte[] data = segment.Has(TcpFlags.Fin) ? [.. segment.Payload, 0xFF] : segment.Payload.ToArray();
            _outOfOrder[segment.Sequence] = !_outOfOrder.TryGetValue(segment.Sequence, out var old) || old.Length < data.Length ? data : old;
            if (segment.Has(TcpFlags.Fin))
            {
                _finAt = segment.Sequence + (uint)segment.Payload.Length;
            }

            Deliver();
        }
    }

    private uint? _finAt;

    private void Deliver()
    {
        bool again = true;
        while (again)
        {
            again = false;
            foreach (var (sequence, data) in _outOfOrder.ToArray())
            {
                uint end = sequence + (uint)data.Length;
                if (TcpSequence.After(end, ReceiveNext) && TcpSequence.BeforeOrAt(sequence, ReceiveNext))
                {
                    var fresh = data.AsSpan((int)(ReceiveNext - sequence));
                    bool fin = _finAt is uint at && end == at + 1;
                    fresh = fin ? fresh[..^1] : fresh;

                    // No more than the window that was shown may ever come (a probe of a closed window aside).
                    int fits = Math.Min(fresh.Length, (int)Window);
                    Received.AddRange(fresh[..fits]);
                    ReceiveNext += (uint)fits;
                    again |= fits > 0;
                    if (fin && fits == fresh.Length && !FinReceived)
                    {
                        FinReceived = true;
                        ReceiveNext++;
                    }
                }

                if (TcpSequence.BeforeOrAt(end, ReceiveNext))
                {
                    _outOfOrder.Remove(sequence);
                }
            }
        }
    }

    private void SendSegment(uint sequence, TcpFlags flags, byte[] payload, bool syn = false)
    {
        byte[] frame = new byte[14 + 20 + 20 + 20 + payload.Length];
        var segment = frame.AsSpan(34);
        int options = syn ? TcpSegment.WriteSynOptions(segment[20..], SegmentSize, sackPermitted: true, WindowScaling ? 2 : -1) : 0;
        uint window = syn ? Math.Min(Window, 65535) : WindowScaling ? Window >> 2 : Math.Min(Window, 65535);
        TcpSegment.WriteHeader(segment, localPort, RemotePort, sequence, ReceiveNext, flags, (ushort)window, options);
        payload.CopyTo(segment[(20 + options)..]);
        int length = 20 + options + payload.Length;
        uint sum = InternetChecksum.PseudoHeader(MockGuest.Address, remote, Ipv4Packet.Tcp, length);
        ushort checksum = InternetChecksum.Finish(InternetChecksum.Add(sum, segment[..length]));
        segment[16] = (byte)(checksum >> 8);
        segment[17] = (byte)checksum;
        EthernetFrame.WriteHeader(frame, guest.GatewayMac, guest.Mac, EthernetFrame.Ipv4);
        Ipv4Packet.WriteHeader(frame.AsSpan(14), MockGuest.Address, remote, Ipv4Packet.Tcp, length, 0, Ipv4Packet.DontFragment);
        Disturb(frame[..(34 + length)], f => guest.Send(f));
    }

    private void Disturb(byte[] frame, Action<byte[]> pass)
    {
        if (Trouble is null)
        {
            pass(frame);
            return;
        }

        double chance = Trouble.NextDouble();
        if (chance < Loss)
        {
            return;
        }

        if (chance < 2 * Loss)
        {
            pass(frame);
        }
        else if (chance < 3 * Loss && _held.Count < 4)
        {
            _held.Add(frame);
            _passes.Add(pass);
            return;
        }

        pass(frame);
        if (_held.Count > 0 && Trouble.Next(3) == 0)
        {
            // Held frames go on in their own direction, after others that came later.
            var (held, passHeld) = (_held[0], _passes[0]);
            _held.RemoveAt(0);
            _passes.RemoveAt(0);
            if (passHeld.Method == pass.Method)
            {
                pass(held);
            }
        }
    }

    private readonly List<Action<byte[]>> _passes = [];
}
