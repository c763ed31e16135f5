using System.Net.Sockets;

namespace Hypervisor.Engine.Network.UserMode;

/// <summary>
/// Waits for datagrams of a socket by peeking at one byte of the next, so that an idle flow holds no buffer. Under the network's lock.
/// </summary>
/// <param name="core">The network.</param>
/// <param name="socket">The socket; it belongs to the caller.</param>
/// <param name="take">Receives the datagram that is there.</param>
internal sealed class DatagramReader(NetworkCore core, Socket socket, Action take) : IDisposable
{
    private const int MaximumPerTurn = 64;

    private PeekOperation? _operation;
    private bool _disposed;

    private sealed class PeekOperation : SocketAsyncEventArgs
    {
        private readonly DatagramReader _reader;

        public PeekOperation(DatagramReader reader) : base(true)
        {
            _reader = reader;
            SetBuffer(new byte[1]);
        }

        protected override void OnCompleted(SocketAsyncEventArgs e) => _reader.Continue(isThere: true);
    }

    /// <summary>Waits for the next datagram. Those that are there already are taken, up to a limit; then the other flows have their turn.</summary>
    public void Wait()
    {
        _operation ??= new PeekOperation(this);
        for (int turn = 0; turn < MaximumPerTurn && !_disposed; turn++)
        {
            // A completion leaves the flags it received with there.
            _operation.SocketFlags = SocketFlags.Peek;
            if (socket.ReceiveAsync(_operation))
            {
                return;
            }

            take();
        }

        if (!_disposed)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static reader => reader.Continue(isThere: false), this, preferLocal: false);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _disposed = true;
        _operation?.Dispose();
    }

    private void Continue(bool isThere)
    {
        core.Run((Reader: this, IsThere: isThere), static turn => turn.Reader.TakeTurn(turn.IsThere));
    }

    private void TakeTurn(bool isThere)
    {
        if (_disposed)
        {
            return;
        }

        if (isThere)
        {
            take();
        }

        Wait();
        core.Settle();
    }
}
