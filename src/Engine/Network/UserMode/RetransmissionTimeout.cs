namespace Hypervisor.Engine.Network.UserMode;

/// <summary>The retransmission timeout of a connection (RFC 6298), in microseconds.</summary>
internal struct RetransmissionTimeout
{
    private const long Initial = 1_000_000, Maximum = 60_000_000;

    // RFC 6298, 2.4 asks for a second; like other stacks this takes 200 ms, the longest a peer delays an acknowledgement.
    private const long Minimum = 200_000;

    private long _smoothed;
    private long _variation;
    private long _value;
    private int _backoff;

    /// <summary>The timeout now.</summary>
    public readonly long Value => Math.Min((_value == 0 ? Initial : _value) << _backoff, Maximum);

    /// <summary>Takes a measured round trip (RFC 6298, 2.2 and 2.3).</summary>
    public void Sample(long roundTrip)
    {
        if (_value == 0)
        {
            _smoothed = roundTrip;
            _variation = roundTrip / 2;
        }
        else
        {
            _variation += (Math.Abs(_smoothed - roundTrip) - _variation) / 4;
            _smoothed += (roundTrip - _smoothed) / 8;
        }

        _value = Math.Clamp(_smoothed + 4 * _variation, Minimum, Maximum);
        _backoff = 0;
    }

    /// <summary>Doubles the timeout (RFC 6298, 5.5).</summary>
    public void BackOff() => _backoff = Math.Min(_backoff + 1, 10);

    /// <summary>Ends the doubling, after new data was acknowledged.</summary>
    public void ResetBackOff() => _backoff = 0;
}
