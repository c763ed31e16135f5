using System.Net;
using System.Net.NetworkInformation;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>The DNS servers and the hosts file of the host. Both are read again when they change.</summary>
internal sealed class HostResolver(IReadOnlyList<IPEndPoint>? configured, string resolverPath = "/etc/resolv.conf", string? hostsPath = null)
{
    private const int DnsPort = 53;
    private const int MaximumServers = 3;
    private const int MaximumHostsBytes = 4 * 1024 * 1024;
    private const long CheckMilliseconds = 5_000;

    private readonly Lock _lock = new();
    private readonly string _hostsPath = hostsPath ?? (OperatingSystem.IsWindows()
        ? Path.Combine(Environment.SystemDirectory, "drivers", "etc", "hosts")
        : "/etc/hosts");

    private IReadOnlyList<IPEndPoint> _servers = configured ?? [];
    private Dictionary<string, List<IPAddress>> _hosts = [];
    private long _checkedAt = long.MinValue;
    private DateTime _resolverTime, _hostsTime;

    /// <summary>DNS servers in order of preference; may be none.</summary>
    public IReadOnlyList<IPEndPoint> Servers
    {
        get
        {
            lock (_lock)
            {
                Check();
                return _servers;
            }
        }
    }

    /// <summary>The addresses that the hosts file has for a name; none when it has none.</summary>
    public IReadOnlyList<IPAddress> FindInHosts(string name)
    {
        lock (_lock)
        {
            Check();
            return _hosts.TryGetValue(name.TrimEnd('.').ToLowerInvariant(), out var addresses) ? addresses : [];
        }
    }

    /// <summary>Reads the <c>nameserver</c> lines of resolv.conf(5).</summary>
    internal static IReadOnlyList<IPEndPoint> ParseResolver(IEnumerable<string> lines) =>
    [
        .. lines
            .Select(line => line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries))
            .Where(words => words.Length >= 2 && words[0] == "nameserver")
            .Select(words => IPAddress.TryParse(words[1], out var address) ? address : null)
            .OfType<IPAddress>()
            .Take(MaximumServers)
            .Select(address => new IPEndPoint(address, DnsPort)),
    ];

    /// <summary>Reads lines of hosts(5): an address, names, a comment.</summary>
    internal static Dictionary<string, List<IPAddress>> ParseHosts(IEnumerable<string> lines)
    {
        var hosts = new Dictionary<string, List<IPAddress>>(StringComparer.Ordinal);
        foreach (string line in lines)
        {
            string[] words = line.Split('#')[0].Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
            if (words.Length < 2 || !IPAddress.TryParse(words[0], out var address))
            {
                continue;
            }

            foreach (string name in words.Skip(1))
            {
                string key = name.TrimEnd('.').ToLowerInvariant();
                if (!hosts.TryGetValue(key, out var addresses))
                {
                    hosts.Add(key, addresses = []);
                }

                addresses.Add(address);
            }
        }

        return hosts;
    }

    private void Check()
    {
        long now = Environment.TickCount64;
        if (_checkedAt != long.MinValue && now - _checkedAt < CheckMilliseconds)
        {
            return;
        }

        _checkedAt = now;
        try
        {
            if (configured is null)
            {
                ReadServers();
            }

            ReadHosts();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NetworkInformationException)
        {
            // Being replaced just now, or not for us to read: what was known stays, and the next check tries again.
            _resolverTime = default;
        }
    }

    private void ReadServers()
    {
        if (OperatingSystem.IsWindows())
        {
            _servers =
            [
                .. NetworkInterface.GetAllNetworkInterfaces()
                    .Where(i => i.OperationalStatus == OperationalStatus.Up)
                    .SelectMany(i => i.GetIPProperties().DnsAddresses)
                    .Where(address => !address.IsIPv6SiteLocal)
                    .Distinct()
                    .Take(MaximumServers)
                    .Select(address => new IPEndPoint(address, DnsPort)),
            ];
            return;
        }

        var time = File.GetLastWriteTimeUtc(resolverPath);
        if (time != _resolverTime && File.Exists(resolverPath))
        {
            _servers = ParseResolver(File.ReadLines(resolverPath));
            _resolverTime = time;
        }
    }

    private void ReadHosts()
    {
        var file = new FileInfo(_hostsPath);
        if (file.Exists && file.LastWriteTimeUtc != _hostsTime && file.Length <= MaximumHostsBytes)
        {
            _hosts = ParseHosts(File.ReadLines(_hostsPath));
            _hostsTime = file.LastWriteTimeUtc;
        }
    }
}
