using System.Buffers.Binary;
using System.Text;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>Leases addresses by Ethernet address (RFC 2131, RFC 2132). Used under the network's lock.</summary>
internal sealed class DhcpServer(NetworkCore core)
{
    public const ushort ServerPort = 67, ClientPort = 68;
    private const int MaximumLeases = 256;
    private const int FixedLength = 236, OptionsOffset = 240;
    private const uint MagicCookie = 0x6382_5363;
    private const ushort BroadcastFlag = 0x8000;
    private const long DeclinedMicroseconds = 600_000_000;

    private readonly Dictionary<MacAddress, Lease> _leases = [];
    private readonly Dictionary<uint, long> _declinedUntil = [];

    private sealed class Lease(uint address)
    {
        public uint Address { get; } = address;
        public long Until { get; set; }
    }

    private enum MessageType : byte
    {
        Discover = 1,
        Offer,
        Request,
        Decline,
        Acknowledge,
        NotAcknowledge,
        Release,
        Inform,
    }

    private enum Option : byte
    {
        Pad = 0,
        SubnetMask = 1,
        Router = 3,
        DnsServer = 6,
        HostName = 12,
        DomainName = 15,
        InterfaceMtu = 26,
        Broadcast = 28,
        RequestedAddress = 50,
        LeaseTime = 51,
        Message = 53,
        ServerIdentifier = 54,
        RenewalTime = 58,
        RebindingTime = 59,
        ClientIdentifier = 61,
        End = 255,
    }

    private ref struct Request
    {
        public ReadOnlySpan<byte> Message;
        public MessageType Type;
        public uint RequestedAddress;
        public uint ServerIdentifier;
        public ReadOnlySpan<byte> ClientIdentifier;

        public readonly uint ClientAddress => BinaryPrimitives.ReadUInt32BigEndian(Message[12..]);

        public readonly MacAddress Mac => MacAddress.Read(Message[28..]);

        public readonly bool WantsBroadcast => (BinaryPrimitives.ReadUInt16BigEndian(Message[10..]) & BroadcastFlag) != 0;
    }

    /// <summary>Takes the data of a datagram to port 67.</summary>
    /// <returns>False when it is malformed.</returns>
    public bool Receive(ReadOnlySpan<byte> message)
    {
        if (!TryParse(message, out var request) || request.Mac.IsMulticast || request.Mac.IsZero)
        {
            return false;
        }

        switch (request.Type)
        {
            case MessageType.Discover:
                if (TryLease(request.Mac, request.RequestedAddress, out var offered))
                {
                    Answer(request, MessageType.Offer, offered.Address);
                }

                return true;
            case MessageType.Request:
                Confirm(request);
                return true;
            case MessageType.Decline:
                if (_leases.Remove(request.Mac, out var declined) && _declinedUntil.Count < MaximumLeases)
                {
                    _declinedUntil[declined.Address] = core.Now + DeclinedMicroseconds;
                }

                return true;
            case MessageType.Release:
                // The address stays the client's until another needs it (RFC 2131, 4.3.4).
                if (_leases.TryGetValue(request.Mac, out var released))
                {
                    released.Until = core.Now;
                }

                return true;
            case MessageType.Inform:
                Answer(request, MessageType.Acknowledge, 0);
                return true;
            default:
                return false;
        }
    }

    private void Confirm(in Request request)
    {
        if (request.ServerIdentifier != 0 && request.ServerIdentifier != core.Subnet.Gateway)
        {
            // The client chose another server's offer.
            _leases.Remove(request.Mac);
            return;
        }

        // RFC 2131, 4.3.2: the address stands in the option, or in ciaddr when a lease is renewed.
        uint wanted = request.RequestedAddress != 0 ? request.RequestedAddress : request.ClientAddress;
        if (!TryLease(request.Mac, wanted, out var lease) || lease.Address != wanted)
        {
            Answer(request, MessageType.NotAcknowledge, 0);
            return;
        }

        lease.Until = core.Now + (long)core.Options.LeaseTime.TotalMicroseconds;
        core.Neighbors.Learn(lease.Address, request.Mac);
        Answer(request, MessageType.Acknowledge, lease.Address);
    }

    private bool TryLease(MacAddress mac, uint wanted, out Lease lease)
    {
        if (_leases.TryGetValue(mac, out lease!))
        {
            return true;
        }

        if (wanted >= core.Subnet.FirstGuest && core.Subnet.IsGuest(wanted) && IsFree(wanted))
        {
            return Add(mac, wanted, out lease);
        }

        if (_leases.Count < MaximumLeases)
        {
            uint last = Math.Min(core.Subnet.Broadcast - 1, core.Subnet.FirstGuest + 2 * MaximumLeases);
            for (uint address = core.Subnet.FirstGuest; address <= last; address++)
            {
                if (core.Subnet.IsGuest(address) && IsFree(address))
                {
                    return Add(mac, address, out lease);
                }
            }
        }

        // All taken: the one that ended longest ago, if one ended.
        foreach (var (holder, candidate) in _leases.OrderBy(entry => entry.Value.Until))
        {
            if (candidate.Until > core.Now)
            {
                break;
            }

            _leases.Remove(holder);
            return Add(mac, candidate.Address, out lease);
        }

        return false;
    }

    private bool Add(MacAddress mac, uint address, out Lease lease)
    {
        lease = new Lease(address) { Until = core.Now };
        _leases.Add(mac, lease);
        return true;
    }

    private bool IsFree(uint address)
    {
        if (_declinedUntil.TryGetValue(address, out long until))
        {
            if (until > core.Now)
            {
                return false;
            }

            _declinedUntil.Remove(address);
        }

        foreach (var lease in _leases.Values)
        {
            if (lease.Address == address)
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryParse(ReadOnlySpan<byte> message, out Request request)
    {
        request = new Request { Message = message };

        // op 1 (request), Ethernet with addresses of 6 bytes.
        if (message.Length < OptionsOffset || message[0] != 1 || message[1] != 1 || message[2] != MacAddress.Length
            || BinaryPrimitives.ReadUInt32BigEndian(message[FixedLength..]) != MagicCookie)
        {
            return false;
        }

        var rest = message[OptionsOffset..];
        while (rest.Length > 0 && (Option)rest[0] != Option.End)
        {
            if ((Option)rest[0] == Option.Pad)
            {
                rest = rest[1..];
                continue;
            }

            if (rest.Length < 2 || rest.Length - 2 < rest[1])
            {
                return false;
            }

            var value = rest.Slice(2, rest[1]);
            switch ((Option)rest[0])
            {
                case Option.Message when value.Length == 1:
                    request.Type = (MessageType)value[0];
                    break;
                case Option.RequestedAddress when value.Length == 4:
                    request.RequestedAddress = BinaryPrimitives.ReadUInt32BigEndian(value);
                    break;
                case Option.ServerIdentifier when value.Length == 4:
                    request.ServerIdentifier = BinaryPrimitives.ReadUInt32BigEndian(value);
                    break;
                case Option.ClientIdentifier:
                    request.ClientIdentifier = value;
                    break;
            }

            rest = rest[(2 + value.Length)..];
        }

        return request.Type != 0;
    }

    private void Answer(in Request request, MessageType type, uint address)
    {
        var subnet = core.Subnet;
        var message = core.Link.Payload[UdpHeader.Length..];
        message[..OptionsOffset].Clear();
        message[0] = 2;
        message[1] = 1;
        message[2] = MacAddress.Length;
        request.Message.Slice(4, 4).CopyTo(message[4..]);
        request.Message.Slice(10, 2).CopyTo(message[10..]);
        if (type != MessageType.NotAcknowledge)
        {
            request.Message.Slice(12, 4).CopyTo(message[12..]);
            BinaryPrimitives.WriteUInt32BigEndian(message[16..], address);
        }

        BinaryPrimitives.WriteUInt32BigEndian(message[20..], type == MessageType.NotAcknowledge ? 0 : subnet.Gateway);
        request.Message.Slice(28, 16).CopyTo(message[28..]);
        BinaryPrimitives.WriteUInt32BigEndian(message[FixedLength..], MagicCookie);

        var options = message[OptionsOffset..];
        int length = 0;
        Put(options, ref length, Option.Message, [(byte)type]);
        Put(options, ref length, Option.ServerIdentifier, subnet.Gateway);
        if (type != MessageType.NotAcknowledge)
        {
            if (address != 0)
            {
                uint seconds = (uint)Math.Clamp(core.Options.LeaseTime.TotalSeconds, 60, uint.MaxValue);
                Put(options, ref length, Option.LeaseTime, seconds);
                Put(options, ref length, Option.RenewalTime, seconds / 2);
                Put(options, ref length, Option.RebindingTime, (uint)(seconds * 7ul / 8));
            }

            Put(options, ref length, Option.SubnetMask, subnet.Mask);
            Put(options, ref length, Option.Broadcast, subnet.Broadcast);
            Put(options, ref length, Option.Router, subnet.Gateway);
            Put(options, ref length, Option.DnsServer, subnet.Dns);
            Put(options, ref length, Option.InterfaceMtu, [(byte)(core.Options.Mtu >> 8), (byte)core.Options.Mtu]);
            Put(options, ref length, Option.HostName, core.Options.HostName);
            Put(options, ref length, Option.DomainName, core.Options.DomainName);
        }

        if (!request.ClientIdentifier.IsEmpty)
        {
            // RFC 6842: the identifier comes back.
            Put(options, ref length, Option.ClientIdentifier, request.ClientIdentifier);
        }

        options[length++] = (byte)Option.End;

        // RFC 951 clients want 300 bytes of message.
        int total = Math.Max(OptionsOffset + length, 300);
        message[(OptionsOffset + length)..total].Clear();

        // RFC 2131, 4.1: to ciaddr when the client has one, else by its Ethernet address, or to all when it cannot hear that yet.
        bool toAll = type == MessageType.NotAcknowledge || (request.ClientAddress == 0 && request.WantsBroadcast);
        uint destination = toAll ? uint.MaxValue : request.ClientAddress != 0 ? request.ClientAddress : address;
        core.Link.SendUdp(toAll ? MacAddress.Broadcast : request.Mac, subnet.Gateway, ServerPort, destination, ClientPort, total);
    }

    private static void Put(Span<byte> options, ref int length, Option option, ReadOnlySpan<byte> value)
    {
        options[length] = (byte)option;
        options[length + 1] = (byte)value.Length;
        value.CopyTo(options[(length + 2)..]);
        length += 2 + value.Length;
    }

    private static void Put(Span<byte> options, ref int length, Option option, uint value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32BigEndian(bytes, value);
        Put(options, ref length, option, bytes);
    }

    private static void Put(Span<byte> options, ref int length, Option option, string? value)
    {
        if (!string.IsNullOrEmpty(value))
        {
            byte[] bytes = Encoding.ASCII.GetBytes(value);
            Put(options, ref length, option, bytes.AsSpan(0, Math.Min(bytes.Length, byte.MaxValue)));
        }
    }
}
