namespace Hypervisor.Engine.Network.Protocols;

/// <summary>Comparison of sequence numbers modulo 2^32 (RFC 9293, 3.4).</summary>
internal static class TcpSequence
{
    public static bool Before(uint a, uint b) => (int)(a - b) < 0;

    public static bool BeforeOrAt(uint a, uint b) => (int)(a - b) <= 0;

    public static bool After(uint a, uint b) => (int)(a - b) > 0;

    public static uint Later(uint a, uint b) => After(a, b) ? a : b;
}
