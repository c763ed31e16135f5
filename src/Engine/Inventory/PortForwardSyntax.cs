using System.Globalization;

namespace Hypervisor.Engine.Inventory;

/// <summary>Port forwards as one writes them: <c>[tcp:|udp:][address:]hostPort:guestPort</c>.</summary>
public static class PortForwardSyntax
{
    private const string Loopback = "127.0.0.1";

    /// <summary>Reads a forward such as <c>2222:22</c>, <c>udp:5353:53</c> or <c>tcp:0.0.0.0:8080:80</c>.</summary>
    /// <exception cref="InvalidConfigurationException">Not of that form, or a port out of range.</exception>
    public static PortForward Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string rest = text.Trim();
        string protocol = "tcp";
        foreach (string known in (string[])["tcp", "udp"])
        {
            if (rest.StartsWith(known + ":", StringComparison.OrdinalIgnoreCase))
            {
                protocol = known;
                rest = rest[(known.Length + 1)..];
                break;
            }
        }

        int guestColon = rest.LastIndexOf(':');
        int hostColon = guestColon > 0 ? rest.LastIndexOf(':', guestColon - 1) : -1;
        string address = hostColon >= 0 ? rest[..hostColon].Trim('[', ']') : Loopback;
        if (guestColon <= 0
            || !int.TryParse(rest[(hostColon + 1)..guestColon], NumberStyles.None, CultureInfo.InvariantCulture, out int hostPort)
            || !int.TryParse(rest[(guestColon + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out int guestPort)
            || !System.Net.IPAddress.TryParse(address, out _))
        {
            throw new InvalidConfigurationException($"'{text}' is not a port forward. Write [tcp:|udp:][address:]hostPort:guestPort, for instance 2222:22.");
        }

        return hostPort > ushort.MaxValue || guestPort is < 1 or > ushort.MaxValue
            ? throw new InvalidConfigurationException($"'{text}' names a port out of range: 0 to 65535 on the host (0 takes a free one), 1 to 65535 in the guest.")
            : new PortForward(protocol, address, hostPort, guestPort);
    }

    /// <summary>Writes a forward so that <see cref="Parse"/> reads it again.</summary>
    public static string Format(PortForward forward)
    {
        ArgumentNullException.ThrowIfNull(forward);
        string address = forward.HostAddress.Contains(':', StringComparison.Ordinal) ? $"[{forward.HostAddress}]" : forward.HostAddress;
        return $"{forward.Protocol}:{address}:{forward.HostPort}:{forward.GuestPort}";
    }
}
