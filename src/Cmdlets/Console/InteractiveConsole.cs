using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Native.Terminal;

namespace Hypervisor.Cmdlets.Console;

/// <summary>
/// Connects a machine's console with the terminal: every key goes to the guest, except the escape key, which leaves. The serial line
/// knows no size; a program in the guest that asks the terminal for it (<c>resize</c>) gets the terminal's own answer.
/// </summary>
/// <param name="session">The console.</param>
/// <param name="machine">Name of the machine.</param>
/// <param name="afterLeaving">What becomes of the machine when the escape key is pressed.</param>
internal sealed class InteractiveConsole(ConsoleSession session, string machine, string afterLeaving = "the machine goes on")
{
    /// <summary>Ctrl-], as in telnet.</summary>
    public const byte EscapeKey = 0x1D;

    private const int InputPollMilliseconds = 50;
    private const int BufferBytes = 4096;

    /// <summary>Runs until the escape key, the end of the machine, the end of the time or a stop.</summary>
    public InteractiveEnd Run(TimeSpan? timeout, CancellationToken cancellation)
    {
        using var source = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (timeout is { } limit)
        {
            source.CancelAfter(limit);
        }

        using Stream output = System.Console.OpenStandardOutput();
        InteractiveEnd end;
        using (RawTerminal.Enter())
        {
            Say(output, $"[Console of {machine}. Ctrl-] leaves it; {afterLeaving}.]");
            var writer = new Thread(() => CopyOutput(output, source.Token)) { IsBackground = true, Name = "console output" };
            writer.Start();
            try
            {
                end = PassKeys(source.Token);
                if (end == InteractiveEnd.MachineOff)
                {
                    // The guest's last words are still on their way to the screen; there is an end to them.
                    writer.Join();
                    session.WaitForEnd(cancellation);
                }
            }
            finally
            {
                source.Cancel();
                writer.Join();
            }

            Say(output, end == InteractiveEnd.MachineOff ? $"\r\n[{machine} is powered off.]" : $"\r\n[Left the console of {machine}.]");
        }

        return end;
    }

    private static void Say(Stream output, string text)
    {
        try
        {
            output.Write(System.Text.Encoding.UTF8.GetBytes(text + "\r\n"));
            output.Flush();
        }
        catch (IOException)
        {
            // The terminal was closed: there is nobody to tell.
        }
    }

    private void CopyOutput(Stream output, CancellationToken cancellation)
    {
        try
        {
            session.ShownPosition = ConsoleStreamer.Copy(session.Console, session.ShownPosition, new PositionKeeper(output, session), cancellation);
        }
        catch (OperationCanceledException)
        {
            // Left; the next visit goes on where this one ended.
        }
        catch (IOException)
        {
            // The terminal was closed; reading keys says so too.
        }
    }

    private InteractiveEnd PassKeys(CancellationToken cancellation)
    {
        byte[] buffer = new byte[BufferBytes];
        try
        {
            while (!cancellation.IsCancellationRequested)
            {
                if (session.Console.IsCompleted)
                {
                    return InteractiveEnd.MachineOff;
                }

                StandardInput.Outcome outcome = StandardInput.Read(buffer, InputPollMilliseconds, out int count);
                if (outcome == StandardInput.Outcome.End)
                {
                    return InteractiveEnd.Left;
                }

                int escape = buffer.AsSpan(0, count).IndexOf(EscapeKey);
                session.Console.SendAsync(buffer.AsMemory(0, escape < 0 ? count : escape), cancellation).GetAwaiter().GetResult();
                if (escape >= 0)
                {
                    return InteractiveEnd.Left;
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Time is over or the user stopped.
        }

        return InteractiveEnd.TimeOver;
    }

    // Counts what reached the screen, also when the copying is cancelled half-way.
    private sealed class PositionKeeper(Stream inner, ConsoleSession session) : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count)
        {
            inner.Write(buffer, offset, count);
            session.ShownPosition += count;
        }
    }
}

/// <summary>How a visit to a console ended.</summary>
internal enum InteractiveEnd
{
    /// <summary>The user pressed the escape key, or the terminal is gone.</summary>
    Left,
    /// <summary>The machine powered off.</summary>
    MachineOff,
    /// <summary>The time was over, or the pipeline was stopped.</summary>
    TimeOver,
}
