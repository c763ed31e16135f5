using System.Net;
using System.Net.Sockets;
using Hypervisor.Engine.Network.Protocols;

namespace Hypervisor.Engine.Network.UserMode;

/// <content>
/// The host's socket. It never blocks: reading waits for readiness with an empty receive, so that no buffer is held by an idle
/// connection; writing goes to the socket directly, and what it does not take at once is sent asynchronously out of the ring.
/// </content>
internal sealed partial class TcpFlow
{
    private const int MaximumSend = 64 * 1024;

    private Socket? _socket;
    private SocketOperation? _receiveOperation, _sendOperation;
    private IReadOnlyList<IPEndPoint> _targets = [];
    private int _target;
    private bool _receiveArmed, _hostSending, _hostEnded, _hostShutdown;

    /// <summary>A socket operation of a flow; completions enter the network's lock.</summary>
    private sealed class SocketOperation(TcpFlow flow, bool isSend) : SocketAsyncEventArgs(true)
    {
        public bool IsSend => isSend;

        protected override void OnCompleted(SocketAsyncEventArgs e) => flow._core.Run(this, static operation => operation.Complete());

        private void Complete()
        {
            flow.Completed(this);
            flow._core.Settle();
        }
    }

    private void Adopt(Socket socket)
    {
        _socket = socket;
        socket.Blocking = false;
        socket.NoDelay = true;
        _receiveOperation = new SocketOperation(this, isSend: false);
        _sendOperation = new SocketOperation(this, isSend: true);
    }

    private void BeginConnect(IReadOnlyList<IPEndPoint> targets)
    {
        _targets = targets;
        _target = -1;
        ConnectToNext(SocketError.HostUnreachable);
    }

    /// <summary>Tries the next target (a DNS server has alternatives), or tells the guest that there is none.</summary>
    private void ConnectToNext(SocketError reason)
    {
        while (++_target < _targets.Count)
        {
            CloseHost(abort: false);
            try
            {
                Adopt(new Socket(_targets[_target].AddressFamily, SocketType.Stream, ProtocolType.Tcp));
                _receiveOperation!.RemoteEndPoint = _targets[_target];
                if (_socket!.ConnectAsync(_receiveOperation))
                {
                    return;
                }

                reason = _receiveOperation.SocketError;
            }
            catch (SocketException e)
            {
                // No descriptor left, or the operating system forbids the target.
                reason = e.SocketErrorCode;
            }

            if (reason == SocketError.Success)
            {
                HostConnected();
                return;
            }
        }

        if (reason is SocketError.HostUnreachable or SocketError.NetworkUnreachable or SocketError.HostDown or SocketError.TimedOut)
        {
            _nat.SendUnreachable(Key, _guestMac);
        }
        else
        {
            _nat.SendReset(_guestMac, Key, 0, _receiveNext, TcpFlags.Reset | TcpFlags.Acknowledge);
        }

        Close(abortHost: false);
    }

    private void HostConnected()
    {
        State = TcpFlowState.SynReceived;
        _lastActivity = _core.Now;
        _nat.Enqueue(this);
    }

    private void Completed(SocketOperation operation)
    {
        if (operation == _receiveOperation)
        {
            if (State == TcpFlowState.Connecting)
            {
                if (operation.SocketError == SocketError.Success)
                {
                    HostConnected();
                }
                else
                {
                    ConnectToNext(operation.SocketError);
                }

                return;
            }

            _receiveArmed = false;
            _nat.Enqueue(this);
        }
        else if (operation == _sendOperation)
        {
            _hostSending = false;
            if (TakeSent(operation))
            {
                DrainToHost();
                _nat.Enqueue(this);
            }
        }
        else if (operation.IsSend)
        {
            // The socket was closed while this was under way; the ring's memory is free only now.
            _hostSending = false;
            _receiveRing.Release();
        }
    }

    /// <summary>Reads what the host has, as far as the ring has room.</summary>
    private void PullFromHost()
    {
        while (_socket is { } socket && !_receiveArmed && !_hostEnded && _sendRing.Free > 0
            && State is TcpFlowState.Established or TcpFlowState.CloseWait)
        {
            var space = _sendRing.Writable;
            int count = socket.Receive(space, SocketFlags.None, out var error);
            if (error == SocketError.Success && count == 0)
            {
                _hostEnded = true;
            }
            else if (error == SocketError.Success)
            {
                _sendRing.Commit(count);
            }
            else if (error is not (SocketError.WouldBlock or SocketError.Interrupted))
            {
                HostFailed();
                return;
            }

            if (error == SocketError.WouldBlock || (count > 0 && count < space.Length))
            {
                ArmReceive(socket);
            }
        }

        if (_sendRing.Count == 0)
        {
            _sendRing.Release();
        }
    }

    private void ArmReceive(Socket socket)
    {
        _receiveOperation!.SetBuffer(Memory<byte>.Empty);
        _receiveArmed = socket.ReceiveAsync(_receiveOperation);
    }

    /// <summary>Hands bytes that are next in order to the host. They fit into the free part of the ring.</summary>
    private void SendToHost(ReadOnlySpan<byte> data)
    {
        if (_socket is not { } socket)
        {
            return;
        }

        if (_receiveRing.Count == 0 && !_hostSending)
        {
            int count = socket.Send(data, SocketFlags.None, out var error);
            if (error is not (SocketError.Success or SocketError.WouldBlock or SocketError.Interrupted))
            {
                HostFailed();
                return;
            }

            data = data[(error == SocketError.Success ? count : 0)..];
            if (data.IsEmpty)
            {
                return;
            }
        }

        _receiveRing.WriteAt(0, data);
        _receiveRing.Commit(data.Length);
        DrainToHost();
    }

    /// <summary>Sends the ring to the host, and after it the guest's FIN.</summary>
    private void DrainToHost()
    {
        while (_socket is { } socket && !_hostSending && _receiveRing.Count > 0)
        {
            var data = _receiveRing.Readable;
            _sendOperation!.SetBuffer(data[..Math.Min(data.Length, MaximumSend)]);
            _hostSending = socket.SendAsync(_sendOperation);
            if (!_hostSending && !TakeSent(_sendOperation))
            {
                return;
            }
        }

        if (_hostSending || _receiveRing.Count > 0)
        {
            return;
        }

        if (_outOfOrder.Count == 0)
        {
            _receiveRing.Release();
        }

        if (_guestFinReceived && !_hostShutdown && _socket is { } open)
        {
            _hostShutdown = true;
            try
            {
                open.Shutdown(SocketShutdown.Send);
            }
            catch (SocketException)
            {
                // The host's peer reset the connection meanwhile; the next read says so.
                _nat.Enqueue(this);
            }
        }

        FinishWhenDrained();
    }

    /// <returns>False when the connection failed.</returns>
    private bool TakeSent(SocketOperation operation)
    {
        if (operation.SocketError != SocketError.Success)
        {
            HostFailed();
            return false;
        }

        _receiveRing.Consume(operation.BytesTransferred);
        return true;
    }

    /// <summary>The host's peer reset the connection, or the host lost it: so does the guest.</summary>
    private void HostFailed()
    {
        if (State == TcpFlowState.TimeWait)
        {
            CloseHost(abort: false);
            return;
        }

        Abort();
    }

    private void CloseHost(bool abort)
    {
        if (_socket is not { } socket)
        {
            return;
        }

        _socket = null;
        var (receive, send) = (_receiveOperation!, _sendOperation!);
        _receiveOperation = _sendOperation = null;
        _receiveArmed = false;
        if (abort)
        {
            try
            {
                // A close with a linger time of 0 sends a reset.
                socket.LingerState = new LingerOption(true, 0);
            }
            catch (SocketException)
            {
                // The connection is gone already, which is as good.
                _hostShutdown = true;
            }
        }

        // An operation under way is completed by the socket's disposal, and disposed of itself then.
        socket.Dispose();
        receive.Dispose();
        send.Dispose();
        if (!_hostSending)
        {
            _receiveRing.Release();
        }
    }
}
