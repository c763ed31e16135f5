using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <content>Segments from the guest (RFC 9293, 3.10.7).</content>
internal sealed partial class TcpFlow
{
    /// <summary>Takes a segment of this connection.</summary>
    public void Receive(in TcpSegment segment, MacAddress guestMac)
    {
        _guestMac = guestMac;
        switch (State)
        {
            case TcpFlowState.Closed:
                return;
            case TcpFlowState.Connecting:
                if (segment.Has(TcpFlags.Reset))
                {
                    Close(abortHost: true);
                }

                return;
            case TcpFlowState.SynSent:
                ReceiveInSynSent(segment);
                return;
            case TcpFlowState.SynReceived when segment.Has(TcpFlags.Syn) && segment.Sequence == _receiveNext - 1:
                // Our answer was lost.
                _sendNext = _sendUnacknowledged;
                _nat.Enqueue(this);
                return;
        }

        if (!IsAcceptable(segment))
        {
            if (!segment.Has(TcpFlags.Reset))
            {
                AcknowledgeLater();
            }

            return;
        }

        if (segment.Has(TcpFlags.Reset))
        {
            // RFC 5961, 3.2: only an exact hit resets; anything else in the window is asked to prove itself.
            if (segment.Sequence == _receiveNext)
            {
                Close(abortHost: true);
            }
            else
            {
                AcknowledgeLater();
            }

            return;
        }

        if (segment.Has(TcpFlags.Syn))
        {
            AcknowledgeLater();
            return;
        }

        if (!segment.Has(TcpFlags.Acknowledge))
        {
            return;
        }

        if (State != TcpFlowState.TimeWait)
        {
            _lastActivity = _core.Now;
        }

        if (!TakeAcknowledgment(segment) || State == TcpFlowState.Closed)
        {
            return;
        }

        uint before = _receiveNext;
        if (segment.Payload.Length > 0 && !_guestFinReceived)
        {
            if (_receiveRing.Free > 0)
            {
                TakePayload(segment);
            }
            else
            {
                AcknowledgeLater();
            }
        }

        if (State != TcpFlowState.Closed)
        {
            TakeFin(segment);
        }

        if (_receiveNext != before)
        {
            AcknowledgeLater();
        }
    }

    private void ReceiveInSynSent(in TcpSegment segment)
    {
        if (segment.Has(TcpFlags.Acknowledge) && segment.Acknowledgment != _sendUnacknowledged + 1)
        {
            if (!segment.Has(TcpFlags.Reset))
            {
                _nat.SendReset(_guestMac, Key, segment.Acknowledgment, 0, TcpFlags.Reset);
            }

            return;
        }

        if (segment.Has(TcpFlags.Reset))
        {
            if (segment.Has(TcpFlags.Acknowledge))
            {
                Close(abortHost: true);
            }

            return;
        }

        // A SYN without acknowledgement would be a simultaneous open, which no server in a guest does.
        if (segment.Has(TcpFlags.Syn) && segment.Has(TcpFlags.Acknowledge))
        {
            TakeSynOptions(segment);
            _receiveNext = _advertisedEdge = segment.Sequence + 1;
            _sendUnacknowledged = segment.Acknowledgment;
            _sendNext = _sendMaximum = _sendUnacknowledged;
            Establish(segment);
            AcknowledgeLater();
        }
    }

    private void Establish(in TcpSegment segment)
    {
        State = TcpFlowState.Established;
        _lastActivity = _core.Now;
        _retransmitDeadline = long.MaxValue;
        _retries = 0;
        _timeout.ResetBackOff();
        _sendWindowSequence = segment.Sequence;
        _sendWindowAcknowledgment = segment.Acknowledgment;
        _congestion.Begin(_sendUnacknowledged);
        _core.ArmTimer(NextDeadline);
        _nat.Enqueue(this);
    }

    private bool IsAcceptable(in TcpSegment segment)
    {
        uint window = (uint)_receiveRing.Free;
        uint end = segment.Sequence + segment.Length;
        if (segment.Sequence == _receiveNext)
        {
            // Also with a closed window: acknowledgements and resets count then, data does not.
            return true;
        }

        return segment.Length == 0
            ? TcpSequence.After(segment.Sequence, _receiveNext) && TcpSequence.BeforeOrAt(segment.Sequence, _receiveNext + window)
            : TcpSequence.Before(segment.Sequence, _receiveNext + window) && TcpSequence.After(end, _receiveNext);
    }

    /// <returns>False when the segment is to be dropped.</returns>
    private bool TakeAcknowledgment(in TcpSegment segment)
    {
        uint acknowledgment = segment.Acknowledgment;
        if (State == TcpFlowState.SynReceived)
        {
            if (acknowledgment != _sendUnacknowledged + 1)
            {
                _nat.SendReset(_guestMac, Key, acknowledgment, 0, TcpFlags.Reset);
                return false;
            }

            _sendUnacknowledged = _sendNext = _sendMaximum = acknowledgment;
            _sendWindow = (uint)segment.Window << _sendShift;
            Establish(segment);
            return true;
        }

        if (TcpSequence.After(acknowledgment, _sendMaximum))
        {
            AcknowledgeLater();
            return false;
        }

        if (TcpSequence.Before(acknowledgment, _sendUnacknowledged))
        {
            return true;
        }

        _retries = 0;
        uint window = (uint)segment.Window << _sendShift;
        bool windowChanged = window != _sendWindow;
        if (TcpSequence.Before(_sendWindowSequence, segment.Sequence)
            || (_sendWindowSequence == segment.Sequence && TcpSequence.BeforeOrAt(_sendWindowAcknowledgment, acknowledgment)))
        {
            if (_sendWindow == 0 && window > 0)
            {
                // What was sent as a probe starts over as data.
                _sendNext = _sendUnacknowledged;
                _timeout.ResetBackOff();
                _retransmitDeadline = long.MaxValue;
            }

            _sendWindow = window;
            _sendWindowSequence = segment.Sequence;
            _sendWindowAcknowledgment = acknowledgment;
        }

        if (acknowledgment != _sendUnacknowledged)
        {
            TakeNewAcknowledgment(acknowledgment);
        }
        else if (segment.Length == 0 && !windowChanged && _sendMaximum != _sendUnacknowledged && _sendWindow > 0
            && _congestion.Duplicate(acknowledgment, InFlight, _sendMaximum))
        {
            RetransmitFirst();
        }

        _nat.Enqueue(this);
        return true;
    }

    private void TakeNewAcknowledgment(uint acknowledgment)
    {
        uint count = acknowledgment - _sendUnacknowledged;
        int data = (int)Math.Min(count, (uint)_sendRing.Count);
        _sendRing.Consume(data);
        if (_sendRing.Count == 0)
        {
            _sendRing.Release();
        }

        _sendUnacknowledged = acknowledgment;
        if (TcpSequence.Before(_sendNext, acknowledgment))
        {
            _sendNext = acknowledgment;
        }

        if (_timing && TcpSequence.After(acknowledgment, _timedSequence))
        {
            _timing = false;
            _timeout.Sample(_core.Now - _timedSince);
        }

        _timeout.ResetBackOff();
        if (_congestion.Acknowledged(count, acknowledgment))
        {
            RetransmitFirst();
        }

        if (_sendMaximum == _sendUnacknowledged)
        {
            _retransmitDeadline = long.MaxValue;
        }
        else
        {
            ArmRetransmit();
        }

        if (_finSent && acknowledgment == _finSequence + 1)
        {
            switch (State)
            {
                case TcpFlowState.FinWait1:
                    State = TcpFlowState.FinWait2;
                    break;
                case TcpFlowState.Closing:
                    EnterTimeWait();
                    break;
                case TcpFlowState.LastAck:
                    FinishWhenDrained();
                    break;
            }
        }
    }

    private void TakePayload(in TcpSegment segment)
    {
        var payload = segment.Payload;
        int offset = (int)(segment.Sequence - _receiveNext);
        if (offset < 0)
        {
            payload = payload[Math.Min(-offset, payload.Length)..];
            offset = 0;
        }

        payload = payload[..Math.Min(payload.Length, Math.Max(_receiveRing.Free - offset, 0))];
        if (_guestFinSeen)
        {
            payload = payload[..Math.Min(payload.Length, Math.Max((int)(_guestFinSequence - _receiveNext) - offset, 0))];
        }

        if (payload.IsEmpty)
        {
            return;
        }

        if (offset == 0 && _outOfOrder.Count == 0)
        {
            _receiveNext += (uint)payload.Length;
            SendToHost(payload);
            return;
        }

        if (offset > 0)
        {
            // Out of order: kept in its place behind the ring's end, within the window that was advertised.
            uint first = _receiveNext + (uint)offset;
            if (_outOfOrder.TryAdd(first, first + (uint)payload.Length))
            {
                _receiveRing.WriteAt(offset, payload);
            }

            // RFC 5681, 4.2: at once, for the sender's fast retransmit counts these.
            _acknowledgeNow = !TrySendAcknowledgment();
            return;
        }

        _receiveRing.WriteAt(0, payload);
        uint next = _outOfOrder.TakeFrom(_receiveNext + (uint)payload.Length);
        _receiveRing.Commit((int)(next - _receiveNext));
        _receiveNext = next;
        DrainToHost();
    }

    private void TakeFin(in TcpSegment segment)
    {
        uint sequence = segment.Sequence + (uint)segment.Payload.Length;
        if (segment.Has(TcpFlags.Fin) && !_guestFinSeen
            && TcpSequence.BeforeOrAt(_receiveNext, sequence) && TcpSequence.BeforeOrAt(sequence, _receiveNext + (uint)_receiveRing.Free)
            && (_outOfOrder.Count == 0 || TcpSequence.BeforeOrAt(_outOfOrder.End, sequence)))
        {
            _guestFinSeen = true;
            _guestFinSequence = sequence;
        }

        if (!_guestFinSeen || _guestFinReceived || _receiveNext != _guestFinSequence)
        {
            return;
        }

        _guestFinReceived = true;
        _receiveNext++;
        DrainToHost();
        switch (State)
        {
            case TcpFlowState.Established:
                State = TcpFlowState.CloseWait;
                break;
            case TcpFlowState.FinWait1:
                State = TcpFlowState.Closing;
                break;
            case TcpFlowState.FinWait2:
                EnterTimeWait();
                break;
        }
    }
}
