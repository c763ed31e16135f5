namespace Hypervisor.Engine.Network.UserMode;

/// <summary>The congestion window of a connection: slow start, avoidance and NewReno recovery (RFC 5681, RFC 6582).</summary>
internal struct CongestionWindow(int segmentSize)
{
    private const int InitialSegments = 10;
    private const int DuplicatesForRetransmit = 3;
    private const uint Maximum = 16 * 1024 * 1024;

    private readonly uint _segment = (uint)segmentSize;
    private uint _threshold = Maximum;
    private uint _recover;
    private int _duplicates;

    /// <summary>Bytes that may be under way (RFC 6928: ten segments at first).</summary>
    public uint Size { get; private set; } = (uint)(InitialSegments * segmentSize);

    /// <summary>True from a fast retransmit until everything sent before it is acknowledged.</summary>
    public bool IsRecovering { get; private set; }

    /// <summary>Takes an acknowledgement of new data.</summary>
    /// <returns>True when it is a partial one in recovery: the next segment is lost too and is to be sent again.</returns>
    public bool Acknowledged(uint bytes, uint acknowledgment)
    {
        _duplicates = 0;
        if (IsRecovering)
        {
            if (Protocols.TcpSequence.Before(acknowledgment, _recover))
            {
                // RFC 6582, 3.2 step 3: deflate by what was acknowledged.
                Size = Math.Max(Size > bytes ? Size - bytes : 0, _segment) + _segment;
                return true;
            }

            IsRecovering = false;
            Size = _threshold;
            return false;
        }

        // RFC 3465: by the bytes acknowledged, as few acknowledgements come from a guest that receives large segments.
        Size = Size < _threshold
            ? Math.Min(Size + bytes, Maximum)
            : Math.Min(Size + Math.Max(1, (uint)((ulong)_segment * Math.Min(bytes, Size) / Size)), Maximum);
        return false;
    }

    /// <summary>Takes a duplicate acknowledgement.</summary>
    /// <returns>True when the first unacknowledged segment is to be sent again.</returns>
    public bool Duplicate(uint acknowledgment, uint inFlight, uint sendMaximum)
    {
        if (IsRecovering)
        {
            Size = Math.Min(Size + _segment, Maximum);
            return false;
        }

        // RFC 6582, 3.2 step 1: not for duplicates of what an earlier recovery or timeout sent again.
        if (++_duplicates != DuplicatesForRetransmit || Protocols.TcpSequence.Before(acknowledgment, _recover))
        {
            return false;
        }

        _threshold = Math.Max(inFlight / 2, 2 * _segment);
        _recover = sendMaximum;
        Size = _threshold + DuplicatesForRetransmit * _segment;
        IsRecovering = true;
        return true;
    }

    /// <summary>A retransmission timeout (RFC 5681, 3.1).</summary>
    public void TimedOut(uint inFlight, uint sendMaximum)
    {
        _threshold = Math.Max(inFlight / 2, 2 * _segment);
        _recover = sendMaximum;
        _duplicates = 0;
        IsRecovering = false;
        Size = _segment;
    }

    /// <summary>Where sequence numbers begin.</summary>
    public void Begin(uint sequence) => _recover = sequence;
}
