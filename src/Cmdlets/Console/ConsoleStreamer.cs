using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Native.Terminal;

namespace Hypervisor.Cmdlets.Console;

/// <summary>
/// Connects a machine's console with the standard streams of a process that has no terminal: everything the guest has written since
/// power-on goes out, what comes in goes to the guest, until the machine is off.
/// </summary>
internal sealed class ConsoleStreamer(ConsoleSession session, Stream output, bool passInput)
{
    private const int BufferBytes = 16384;
    private const int InputPollMilliseconds = 100;

    /// <summary>Streams; false when the time ran out before the machine was off.</summary>
    public bool Run(TimeSpan? timeout, CancellationToken cancellation)
    {
        using var source = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        if (timeout is { } limit)
        {
            source.CancelAfter(limit);
        }

        Thread? reader = passInput ? StartInput(source.Token) : null;
        try
        {
            Copy(session.Console, position: 0, output, source.Token);
            session.WaitForEnd(source.Token);
            return true;
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return false;
        }
        finally
        {
            source.Cancel();
            reader?.Join();
        }
    }

    /// <summary>Copies output from a position on until the machine is off; returns the position reached.</summary>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public static long Copy(MachineConsole console, long position, Stream output, CancellationToken cancellation)
    {
        byte[] buffer = new byte[BufferBytes];
        while (true)
        {
            // Asked before reading, so that what was written just before the end is not missed.
            bool completed = console.IsCompleted;
            int count;
            while ((count = console.Read(ref position, buffer)) > 0)
            {
                output.Write(buffer, 0, count);
                output.Flush();
                cancellation.ThrowIfCancellationRequested();
            }

            if (completed)
            {
                return position;
            }

            console.WaitForOutputAsync(position, cancellation).GetAwaiter().GetResult();
            cancellation.ThrowIfCancellationRequested();
        }
    }

    private Thread StartInput(CancellationToken cancellation)
    {
        var thread = new Thread(() => PassInput(cancellation)) { IsBackground = true, Name = "console input" };
        thread.Start();
        return thread;
    }

    private void PassInput(CancellationToken cancellation)
    {
        byte[] buffer = new byte[BufferBytes];
        try
        {
            while (!cancellation.IsCancellationRequested)
            {
                StandardInput.Outcome outcome = StandardInput.Read(buffer, InputPollMilliseconds, out int count);
                if (outcome == StandardInput.Outcome.End)
                {
                    return;
                }

                if (outcome == StandardInput.Outcome.Bytes)
                {
                    session.Console.SendAsync(buffer.AsMemory(0, count), cancellation).GetAwaiter().GetResult();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The machine is off or the user has stopped; input that is left has nowhere to go.
        }
    }
}
