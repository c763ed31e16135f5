using System.Net;
using System.Security.Cryptography;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>States of RFC 9293, 3.3.2, as far as the network's end of a connection has them.</summary>
internal enum TcpFlowState
{
    /// <summary>The guest sent a SYN; it is answered when the host's connection has come about.</summary>
    Connecting,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

/// <summary>
/// One TCP connection: a full endpoint towards the guest (RFC 9293), a socket towards the host. Bytes that one side does not take
/// stay in a ring of fixed size, and a full ring closes the window of, or stops reading from, the other side. Used under the
/// network's lock. This part: the connection's life; the others: segments in, segments out, the host's socket.
/// </summary>
internal sealed partial class TcpFlow : IDisposable
{
    private const int OurWindowShift = 7;
    private const int MinimumSegmentSize = 64, DefaultSegmentSize = 536;
    private const int MaximumOutOfOrderRanges = 32;
    private const int MaximumRetries = 10, MaximumSynRetries = 5;

    // Nothing lingers on a virtual link, so twice the lifetime of a segment is short; RFC 5382 for the others.
    private const long TimeWaitMicroseconds = 5_000_000;
    private const long EstablishedIdleMicroseconds = 7_440_000_000;
    private const long TransitoryIdleMicroseconds = 240_000_000;

    private readonly TcpNat _nat;
    private readonly NetworkCore _core;
    private readonly ByteRing _sendRing;
    private readonly ByteRing _receiveRing;
    private readonly SequenceRanges _outOfOrder = new(MaximumOutOfOrderRanges);

    private MacAddress _guestMac;
    private long _lastActivity;
    private long _retransmitDeadline = long.MaxValue;
    private int _retries;
    private RetransmissionTimeout _timeout;
    private CongestionWindow _congestion;

    // Sequence variables of RFC 9293, 3.3.1. The send ring's head is SND.UNA (behind the SYN); SendNext goes back to it on a timeout.
    private uint _sendUnacknowledged, _sendNext, _sendMaximum, _sendWindow, _sendWindowSequence, _sendWindowAcknowledgment;
    private uint _receiveNext, _advertisedEdge;
    private int _sendShift, _receiveShift, _segmentSize;
    private bool _guestScales;

    private bool _acknowledgeNow;
    private bool _finSent;
    private uint _finSequence;
    private bool _guestFinSeen, _guestFinReceived;
    private uint _guestFinSequence;
    private bool _timing;
    private uint _timedSequence;
    private long _timedSince;

    private TcpFlow(TcpNat nat, NetworkCore core, TcpFlowKey key, MacAddress guestMac, int ringCapacity)
    {
        _nat = nat;
        _core = core;
        Key = key;
        _guestMac = guestMac;
        _sendRing = new ByteRing(ringCapacity);
        _receiveRing = new ByteRing(ringCapacity);
        _lastActivity = core.Now;
        _segmentSize = MaximumSegmentSize;
        uint initial = BitConverter.ToUInt32(RandomNumberGenerator.GetBytes(sizeof(uint)));
        _sendUnacknowledged = _sendNext = _sendMaximum = initial;
    }

    public TcpFlowKey Key { get; }

    public TcpFlowState State { get; private set; }

    /// <summary>In the queue of flows with something to send.</summary>
    public bool IsPending { get; set; }

    public long LastActivity => _lastActivity;

    /// <summary>Where the next sequence number of the guest begins; a new SYN in TIME_WAIT lies beyond.</summary>
    public uint ReceiveNext => _receiveNext;

    private int MaximumSegmentSize => _core.Link.Mtu - Ipv4Packet.HeaderLength - TcpSegment.HeaderLength;

    private uint InFlight => _sendNext - _sendUnacknowledged;

    /// <summary>Begins a connection that the guest asked for.</summary>
    public static TcpFlow Open(TcpNat nat, NetworkCore core, TcpFlowKey key, MacAddress guestMac, in TcpSegment syn, IReadOnlyList<IPEndPoint> targets, int ringCapacity)
    {
        var flow = new TcpFlow(nat, core, key, guestMac, ringCapacity) { State = TcpFlowState.Connecting };
        flow._receiveNext = syn.Sequence + 1;
        flow.TakeSynOptions(syn);
        flow.BeginConnect(targets);
        return flow;
    }

    /// <summary>Begins a connection to the guest on behalf of one that the host accepted.</summary>
    public static TcpFlow Forward(TcpNat nat, NetworkCore core, TcpFlowKey key, MacAddress guestMac, System.Net.Sockets.Socket accepted, int ringCapacity)
    {
        var flow = new TcpFlow(nat, core, key, guestMac, ringCapacity) { State = TcpFlowState.SynSent };
        flow._guestScales = true;
        flow.Adopt(accepted);
        return flow;
    }

    /// <summary>The next time <see cref="OnTimer"/> has something to do.</summary>
    public long NextDeadline => Math.Min(_retransmitDeadline, _lastActivity + IdleLimit);

    private long IdleLimit => State switch
    {
        TcpFlowState.Connecting => (long)_core.Options.ConnectTimeout.TotalMicroseconds,
        TcpFlowState.TimeWait => TimeWaitMicroseconds,
        TcpFlowState.Established or TcpFlowState.CloseWait or TcpFlowState.FinWait2 => EstablishedIdleMicroseconds,
        _ => TransitoryIdleMicroseconds,
    };

    /// <summary>Does what is due.</summary>
    public void OnTimer(long now)
    {
        if (State == TcpFlowState.Closed)
        {
            return;
        }

        if (now >= _lastActivity + IdleLimit)
        {
            if (State == TcpFlowState.Connecting)
            {
                _nat.SendUnreachable(Key, _guestMac);
            }
            else if (State != TcpFlowState.TimeWait)
            {
                SendReset();
            }

            Close(abortHost: State != TcpFlowState.TimeWait);
        }
        else if (now >= _retransmitDeadline)
        {
            Retransmit();
        }
    }

    /// <summary>Ends the connection at once, with a reset to both sides.</summary>
    public void Abort()
    {
        if (State is not (TcpFlowState.Closed or TcpFlowState.TimeWait))
        {
            SendReset();
        }

        Close(abortHost: true);
    }

    /// <inheritdoc/>
    public void Dispose() => Abort();

    /// <summary>Forgets the connection. With <paramref name="abortHost"/> the host's peer sees a reset.</summary>
    private void Close(bool abortHost)
    {
        if (State == TcpFlowState.Closed)
        {
            return;
        }

        State = TcpFlowState.Closed;
        _retransmitDeadline = long.MaxValue;
        _sendRing.Release();
        CloseHost(abortHost);
        _nat.Remove(this);
    }

    private void EnterTimeWait()
    {
        State = TcpFlowState.TimeWait;
        _lastActivity = _core.Now;
        _retransmitDeadline = long.MaxValue;
        _core.ArmTimer(NextDeadline);
        FinishWhenDrained();
    }

    /// <summary>Both directions are closed towards the guest; the host may still have to take bytes.</summary>
    private void FinishWhenDrained()
    {
        if (_receiveRing.Count > 0 || _hostSending)
        {
            return;
        }

        if (State == TcpFlowState.LastAck && _sendUnacknowledged == _finSequence + 1)
        {
            Close(abortHost: false);
        }
        else if (State == TcpFlowState.TimeWait)
        {
            _sendRing.Release();
            CloseHost(abort: false);
        }
    }

    private void ArmRetransmit()
    {
        _retransmitDeadline = _core.Now + _timeout.Value;
        _core.ArmTimer(_retransmitDeadline);
    }

    private void TakeSynOptions(in TcpSegment syn)
    {
        syn.ReadOptions(out int maximumSegmentSize, out int windowShift, out _);
        _segmentSize = Math.Clamp(maximumSegmentSize == 0 ? DefaultSegmentSize : maximumSegmentSize, MinimumSegmentSize, MaximumSegmentSize);
        _guestScales = windowShift >= 0;
        _sendShift = Math.Max(windowShift, 0);
        _receiveShift = _guestScales ? OurWindowShift : 0;
        _sendWindow = syn.Window;
        _sendWindowSequence = syn.Sequence;
        _congestion = new CongestionWindow(_segmentSize);
        _congestion.Begin(_sendUnacknowledged);
    }
}
