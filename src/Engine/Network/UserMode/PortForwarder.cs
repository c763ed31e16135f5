using System.Net;
using System.Net.Sockets;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>Listening ports of the host that lead to ports of the guest.</summary>
internal sealed class PortForwarder(NetworkCore core, TcpNat tcp) : IDisposable
{
    private readonly List<TcpListenerForward> _tcp = [];
    private readonly List<UdpForward> _udp = [];

    /// <summary>The guest's address: the one heard of last, or the one it will be leased.</summary>
    internal uint Guest => core.Neighbors.MostRecent != 0 ? core.Neighbors.MostRecent : core.Subnet.FirstGuest;

    /// <summary>Begins to listen.</summary>
    /// <returns>The forward with the port that was bound.</returns>
    /// <exception cref="MachineException">The forward is malformed, or its port cannot be had.</exception>
    public PortForward Add(PortForward forward)
    {
        var address = ParseAddress(forward);
        if (forward.HostPort is < 0 or > ushort.MaxValue || forward.GuestPort is < 1 or > ushort.MaxValue)
        {
            throw new MachineException(
                $"The port forward {forward.HostPort} to {forward.GuestPort} is out of range: host ports go from 0 (any free one) to 65535, guest ports from 1.");
        }

        bool isTcp = string.Equals(forward.Protocol, "tcp", StringComparison.OrdinalIgnoreCase);
        if (!isTcp && !string.Equals(forward.Protocol, "udp", StringComparison.OrdinalIgnoreCase))
        {
            throw new MachineException($"'{forward.Protocol}' is not a protocol that can be forwarded: take tcp or udp.");
        }

        var socket = isTcp
            ? new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
            : new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            if (OperatingSystem.IsWindows())
            {
                socket.ExclusiveAddressUse = true;
            }

            socket.Blocking = false;
            socket.Bind(new IPEndPoint(address, forward.HostPort));
            if (isTcp)
            {
                socket.Listen();
            }
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw new MachineException(Explain(forward, address, e), e);
        }

        var bound = forward with
        {
            Protocol = isTcp ? "tcp" : "udp",
            HostAddress = address.ToString(),
            HostPort = ((IPEndPoint)socket.LocalEndPoint!).Port,
        };
        lock (core.Gate)
        {
            if (isTcp)
            {
                var listener = new TcpListenerForward(core, tcp, this, socket, (ushort)forward.GuestPort);
                _tcp.Add(listener);
                listener.Accept();
            }
            else
            {
                var udp = new UdpForward(core, this, socket, (ushort)forward.GuestPort);
                _udp.Add(udp);
                udp.Start();
            }
        }

        return bound;
    }

    /// <summary>Takes a guest's datagram to the gateway when it answers a forwarded one; under the network's lock.</summary>
    public bool TryReply(ushort guestPort, ushort gatewayPort, ReadOnlySpan<byte> data)
    {
        foreach (var forward in _udp)
        {
            if (forward.GuestPort == guestPort && forward.TryReply(gatewayPort, data))
            {
                return true;
            }
        }

        return false;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var listener in _tcp)
        {
            listener.Dispose();
        }

        foreach (var forward in _udp)
        {
            forward.Dispose();
        }

        _tcp.Clear();
        _udp.Clear();
    }

    private static IPAddress ParseAddress(PortForward forward)
    {
        if (string.IsNullOrEmpty(forward.HostAddress) || forward.HostAddress == "localhost")
        {
            return IPAddress.Loopback;
        }

        if (forward.HostAddress == "*")
        {
            return IPAddress.Any;
        }

        return IPAddress.TryParse(forward.HostAddress, out var address) && address.AddressFamily == AddressFamily.InterNetwork
            ? address
            : throw new MachineException($"'{forward.HostAddress}' is not an IPv4 address of the host to listen on: take 127.0.0.1, or 0.0.0.0 for all.");
    }

    private static string Explain(PortForward forward, IPAddress address, SocketException e)
    {
        string what = $"{forward.Protocol} port {forward.HostPort} on {address} cannot be forwarded to guest port {forward.GuestPort}";
        return e.SocketErrorCode switch
        {
            SocketError.AddressAlreadyInUse => $"{what}: another program or machine listens there. Choose another host port, or 0 for any free one.",
            SocketError.AccessDenied => $"{what}: the host reserves it. Choose a host port from 1024 up, or 0 for any free one.",
            SocketError.AddressNotAvailable => $"{what}: {address} is not an address of this host. Take 127.0.0.1, or 0.0.0.0 for all.",
            _ => $"{what}: {e.Message}",
        };
    }
}

/// <summary>A listening TCP socket.</summary>
internal sealed class TcpListenerForward(NetworkCore core, TcpNat tcp, PortForwarder owner, Socket socket, ushort guestPort) : IDisposable
{
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(200);

    private AcceptOperation? _operation;
    private bool _disposed;

    private sealed class AcceptOperation(TcpListenerForward forward) : SocketAsyncEventArgs(true)
    {
        protected override void OnCompleted(SocketAsyncEventArgs e) => forward.Accepted();
    }

    /// <summary>Waits for the next connection; under the network's lock.</summary>
    public void Accept()
    {
        _operation ??= new AcceptOperation(this);
        while (!_disposed)
        {
            _operation.AcceptSocket = null;
            if (socket.AcceptAsync(_operation))
            {
                return;
            }

            Take();
            if (_operation.SocketError is not (SocketError.Success or SocketError.ConnectionAborted or SocketError.ConnectionReset))
            {
                // No descriptor left, say: the connection stays in the system's queue, and asking again at once would go on for ever.
                _ = AcceptLaterAsync();
                return;
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _disposed = true;
        socket.Dispose();
        _operation?.Dispose();
    }

    private void Accepted() => core.Run(this, static forward =>
    {
        forward.Take();
        forward.Accept();
        forward.Settle();
    });

    private void Settle() => core.Settle();

    private async Task AcceptLaterAsync()
    {
        await Task.Delay(RetryInterval).ConfigureAwait(false);
        core.Run(this, static forward => forward.Accept());
    }

    private void Take()
    {
        if (_operation is not { SocketError: SocketError.Success, AcceptSocket: { } accepted })
        {
            return;
        }

        if (_disposed)
        {
            accepted.Dispose();
            return;
        }

        try
        {
            tcp.Forward(accepted, owner.Guest, guestPort);
        }
        catch (SocketException)
        {
            // The peer is gone already.
            accepted.Dispose();
        }
    }
}
