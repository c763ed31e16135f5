using System.Text;
using Hypervisor.Engine.Devices;

namespace Hypervisor.Engine.Machines;

/// <summary>
/// The serial console of a machine: remembers the last output (1 MB), hands it to whoever listens, and passes input to the device.
/// Thread-safe. A guest that floods it only overwrites its own history.
/// </summary>
public sealed class MachineConsole : IByteSink
{
    /// <summary>Bytes of history that are kept.</summary>
    public const int HistoryBytes = 1 << 20;

    private readonly Lock _lock = new();
    private readonly byte[] _ring = new byte[HistoryBytes];
    private long _written;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private TaskCompletionSource _inputRoom = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private bool _completed;

    /// <summary>Bytes written by the guest since power-on: the position after the newest byte.</summary>
    public long Position
    {
        get
        {
            lock (_lock)
            {
                return _written;
            }
        }
    }

    /// <summary>The machine is off: no more output will come.</summary>
    public bool IsCompleted
    {
        get
        {
            lock (_lock)
            {
                return _completed;
            }
        }
    }

    /// <summary>
    /// Takes input for the guest; set by the machine. Returns how many bytes were taken; once it took fewer than it was given, somebody
    /// calls <see cref="ResumeInput"/> when it can take more.
    /// </summary>
    public Func<ReadOnlyMemory<byte>, int>? InputHandler { get; set; }

    /// <inheritdoc/>
    public void Write(ReadOnlySpan<byte> bytes)
    {
        if (bytes.IsEmpty)
        {
            return;
        }

        TaskCompletionSource waiters;
        lock (_lock)
        {
            foreach (byte value in bytes)
            {
                _ring[_written++ & (HistoryBytes - 1)] = value;
            }

            waiters = _changed;
            if (!waiters.Task.IsCompleted)
            {
                _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }

        waiters.TrySetResult();
    }

    /// <summary>Marks the end of output and wakes all readers.</summary>
    public void Complete()
    {
        TaskCompletionSource waiters;
        lock (_lock)
        {
            _completed = true;
            waiters = _changed;
        }

        waiters.TrySetResult();
        ResumeInput();
    }

    /// <summary>There is room for input again. Any thread.</summary>
    public void ResumeInput()
    {
        TaskCompletionSource waiters;
        lock (_lock)
        {
            waiters = _inputRoom;
            _inputRoom = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }

        waiters.TrySetResult();
    }

    /// <summary>
    /// Copies output from <paramref name="position"/> on and moves it forward. What has been overwritten meanwhile is skipped.
    /// Returns the number of bytes, 0 when there is nothing new.
    /// </summary>
    public int Read(ref long position, Span<byte> destination)
    {
        lock (_lock)
        {
            position = Math.Clamp(position, Math.Max(0, _written - HistoryBytes), _written);
            int count = (int)Math.Min(destination.Length, _written - position);
            for (int i = 0; i < count; i++)
            {
                destination[i] = _ring[(position + i) & (HistoryBytes - 1)];
            }

            position += count;
            return count;
        }
    }

    /// <summary>Completes when there is output beyond <paramref name="position"/> or no more will come.</summary>
    public Task WaitForOutputAsync(long position, CancellationToken cancellation)
    {
        lock (_lock)
        {
            return _written > position || _completed ? Task.CompletedTask : _changed.Task.WaitAsync(cancellation);
        }
    }

    /// <summary>Waits until the text appears in the output at or after <paramref name="position"/>; false when the machine ended or the time ran out first.</summary>
    public async Task<bool> WaitForTextAsync(string text, long position, TimeSpan timeout, CancellationToken cancellation = default)
    {
        using var source = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        source.CancelAfter(timeout);
        byte[] wanted = Encoding.UTF8.GetBytes(text);
        byte[] buffer = new byte[16384 + wanted.Length];
        int kept = 0;
        try
        {
            while (true)
            {
                int count;
                while ((count = Read(ref position, buffer.AsSpan(kept))) > 0)
                {
                    int filled = kept + count;
                    if (buffer.AsSpan(0, filled).IndexOf(wanted) >= 0)
                    {
                        return true;
                    }

                    kept = Math.Min(filled, Math.Max(0, wanted.Length - 1));
                    buffer.AsSpan(filled - kept, kept).CopyTo(buffer);
                }

                if (IsCompleted && Position <= position)
                {
                    return false;
                }

                await WaitForOutputAsync(position, source.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return false;
        }
    }

    /// <summary>Sends input to the guest's serial port, waiting while its FIFO and the line buffer are full.</summary>
    public async Task SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation = default)
    {
        while (!bytes.IsEmpty)
        {
            // Before asking: room that is made after the answer completes it.
            Task room;
            lock (_lock)
            {
                if (_completed)
                {
                    return;
                }

                room = _inputRoom.Task;
            }

            int taken = InputHandler?.Invoke(bytes) ?? bytes.Length;
            bytes = bytes[taken..];
            if (taken == 0)
            {
                await room.WaitAsync(cancellation).ConfigureAwait(false);
            }
        }
    }
}
