using System.Buffers.Binary;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <content>Segments to the guest.</content>
internal sealed partial class TcpFlow
{
    private const int MaximumLargeSegment = Ipv4Packet.MaximumLength - Ipv4Packet.HeaderLength - TcpSegment.HeaderLength;

    /// <summary>Sends what is due: a SYN, data that the windows allow, a FIN, an acknowledgement.</summary>
    /// <returns>False when the guest has no room; the flow stays pending.</returns>
    public bool Output()
    {
        switch (State)
        {
            case TcpFlowState.Connecting or TcpFlowState.Closed:
                return true;
            case TcpFlowState.SynSent or TcpFlowState.SynReceived:
                return _sendNext != _sendUnacknowledged || TrySendSyn();
        }

        PullFromHost();
        if (State == TcpFlowState.Closed)
        {
            return true;
        }

        while (HasSegmentToSend(out int length, out bool fin))
        {
            if (!TrySendData(_sendNext, length, fin))
            {
                return false;
            }

            if (fin && !_finSent)
            {
                _finSent = true;
                _finSequence = _sendNext + (uint)length;
                State = State == TcpFlowState.CloseWait ? TcpFlowState.LastAck : TcpFlowState.FinWait1;
            }

            if (_sendNext == _sendMaximum && !_timing)
            {
                _timing = true;
                _timedSequence = _sendNext;
                _timedSince = _core.Now;
            }

            _sendNext += (uint)length + (fin ? 1u : 0);
            _sendMaximum = TcpSequence.Later(_sendMaximum, _sendNext);
        }

        // In flight: retransmission; nothing in flight and yet something left: the window is closed, and this times its probe.
        if (_retransmitDeadline == long.MaxValue
            && (_sendMaximum != _sendUnacknowledged || _sendRing.Count > 0) && State is not (TcpFlowState.TimeWait or TcpFlowState.Closed))
        {
            ArmRetransmit();
        }

        return (!_acknowledgeNow && !IsWindowUpdateDue) || TrySendAcknowledgment();
    }

    /// <summary>RFC 9293, 3.8.6.2.2: not for every byte that the host took.</summary>
    private bool IsWindowUpdateDue =>
        !_guestFinReceived
        && (int)(_receiveNext + (uint)AdvertisableWindow - _advertisedEdge) >= Math.Min(_receiveRing.Capacity / 2, 2 * MaximumSegmentSize);

    private int AdvertisableWindow => Math.Min(_receiveRing.Free >> _receiveShift, ushort.MaxValue) << _receiveShift;

    private bool HasSegmentToSend(out int length, out bool fin)
    {
        length = 0;
        fin = false;
        if (State is not (TcpFlowState.Established or TcpFlowState.CloseWait or TcpFlowState.FinWait1 or TcpFlowState.Closing or TcpFlowState.LastAck))
        {
            return false;
        }

        int sent = (int)InFlight;
        int unsent = _sendRing.Count - sent;
        if (unsent < 0)
        {
            return false;
        }

        long room = Math.Min(_sendWindow, _congestion.Size) - (long)sent;
        int largest = _core.Link.CanSegment ? MaximumLargeSegment / _segmentSize * _segmentSize : _segmentSize;
        length = (int)Math.Max(0, Math.Min(Math.Min(unsent, room), largest));
        if (length < unsent && length > _segmentSize)
        {
            length -= length % _segmentSize;
        }

        fin = _hostEnded && length == unsent;
        if (length == 0)
        {
            return fin;
        }

        // RFC 9293, 3.8.6.2.1: no small segment because of a small rest of window while an acknowledgement is on its way.
        return length == unsent || length >= _segmentSize || sent == 0;
    }

    /// <summary>The guest's Ethernet address became known; a SYN may have waited for it.</summary>
    public void NeighborLearned(MacAddress mac)
    {
        if (State == TcpFlowState.SynSent && _guestMac.IsZero)
        {
            _guestMac = mac;
            _sendNext = _sendUnacknowledged;
            _nat.Enqueue(this);
        }
    }

    private bool TrySendSyn()
    {
        if (_guestMac.IsZero)
        {
            _nat.Ask(Key.Guest);
            _sendNext = _sendUnacknowledged + 1;
            ArmRetransmit();
            return true;
        }

        var segment = _core.Link.Payload;
        bool active = State == TcpFlowState.SynSent;
        int options = TcpSegment.WriteSynOptions(
            segment[TcpSegment.HeaderLength..], MaximumSegmentSize, sackPermitted: false, _guestScales ? OurWindowShift : -1);
        TcpSegment.WriteHeader(
            segment, Key.RemotePort, Key.GuestPort, _sendUnacknowledged, active ? 0 : _receiveNext,
            active ? TcpFlags.Syn : TcpFlags.Syn | TcpFlags.Acknowledge, (ushort)Math.Min(_receiveRing.Free, ushort.MaxValue), options);
        int length = TcpSegment.HeaderLength + options;
        if (!_core.Link.TrySendTcp(_guestMac, Key.Remote, Key.Guest, length, length, _segmentSize))
        {
            return false;
        }

        _advertisedEdge = _receiveNext + (uint)Math.Min(_receiveRing.Free, ushort.MaxValue);
        _sendNext = _sendMaximum = _sendUnacknowledged + 1;
        ArmRetransmit();
        return true;
    }

    private bool TrySendData(uint sequence, int length, bool fin)
    {
        var flags = TcpFlags.Acknowledge;
        int offset = (int)(sequence - _sendUnacknowledged);
        if (length > 0)
        {
            _sendRing.Peek(offset, _core.Link.Payload.Slice(TcpSegment.HeaderLength, length));
            flags |= offset + length == _sendRing.Count ? TcpFlags.Push : TcpFlags.None;
        }

        return TrySend(sequence, fin ? flags | TcpFlags.Fin : flags, length);
    }

    private bool TrySendAcknowledgment() => TrySend(_sendMaximum, TcpFlags.Acknowledge, 0);

    private bool TrySend(uint sequence, TcpFlags flags, int payloadLength)
    {
        int window = AdvertisableWindow;
        TcpSegment.WriteHeader(
            _core.Link.Payload, Key.RemotePort, Key.GuestPort, sequence, _receiveNext, flags, (ushort)(window >> _receiveShift), 0);
        if (!_core.Link.TrySendTcp(
            _guestMac, Key.Remote, Key.Guest, TcpSegment.HeaderLength, TcpSegment.HeaderLength + payloadLength, _segmentSize))
        {
            return false;
        }

        _acknowledgeNow = false;
        _advertisedEdge = TcpSequence.Later(_advertisedEdge, _receiveNext + (uint)window);
        return true;
    }

    private void SendReset() =>
        _nat.SendReset(_guestMac, Key, _sendMaximum, _receiveNext, TcpFlags.Reset | TcpFlags.Acknowledge);

    private void AcknowledgeLater()
    {
        _acknowledgeNow = true;
        _nat.Enqueue(this);
    }

    /// <summary>Sends the first unacknowledged segment again; what a full guest does not take the timer repeats.</summary>
    private void RetransmitFirst()
    {
        int length = Math.Min(_sendRing.Count, _segmentSize);
        bool fin = _finSent && length == _sendRing.Count;
        _timing = false;
        if ((length > 0 || fin) && TrySendData(_sendUnacknowledged, length, fin))
        {
            _nat.Retransmissions++;
        }

        ArmRetransmit();
    }

    private void Retransmit()
    {
        bool handshake = State is TcpFlowState.SynSent or TcpFlowState.SynReceived;
        if (++_retries > (handshake ? MaximumSynRetries : MaximumRetries))
        {
            Abort();
            return;
        }

        _timing = false;
        _timeout.BackOff();
        _nat.Retransmissions++;
        if (!handshake && _sendWindow == 0 && _sendRing.Count > 0)
        {
            // RFC 9293, 3.8.6.1: one byte probes the closed window, for as long as the guest answers.
            if (TrySendData(_sendUnacknowledged, 1, fin: false))
            {
                _sendMaximum = TcpSequence.Later(_sendMaximum, _sendUnacknowledged + 1);
            }

            ArmRetransmit();
            return;
        }

        if (!handshake)
        {
            _congestion.TimedOut(InFlight, _sendMaximum);
        }

        _sendNext = _sendUnacknowledged;
        _retransmitDeadline = long.MaxValue;
        _nat.Enqueue(this);
        if (_core.Link.IsBlocked)
        {
            ArmRetransmit();
        }
    }
}
