using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>One timed command.</summary>
/// <param name="Seconds">Host time between the two markers.</param>
/// <param name="GuestSeconds">The same as the guest's own clock says.</param>
/// <param name="Result">Last line of its output.</param>
internal sealed record Measurement(double Seconds, double GuestSeconds, string Result);

/// <summary>
/// The agent of guest/agent.sh behind the standard input and output of a process: QEMU, our machine in a process of its own, or the host
/// itself. Times are the host's, taken when a marker arrives, as a guest's clock may lie.
/// </summary>
internal sealed class Session : IDisposable
{
    private const string InitMarker = "@init", ReadyMarker = "@ready", BeginMarker = "@begin", EndMarker = "@end", CheckMarker = "@check";
    private const string PanicText = "Kernel panic";
    private const int KeptLines = 30;

    private readonly Process _process;
    private readonly BlockingCollection<(long Time, string Text)> _lines = [];
    private readonly Queue<string> _last = new();
    private long _started = Stopwatch.GetTimestamp();

    private Session(ProcessStartInfo start, TimeSpan timeout, bool echo)
    {
        Timeout = timeout;
        Echo = echo;
        start.RedirectStandardInput = true;
        start.RedirectStandardOutput = true;
        _process = Process.Start(start)!;
        new Thread(ReadLines) { IsBackground = true, Name = "console" }.Start();
    }

    /// <summary>Seconds from the start to the first line of init; 0 on the host itself.</summary>
    public double BootSeconds { get; private set; }

    /// <summary>What a boot or a command may take.</summary>
    public TimeSpan Timeout { get; set; }

    /// <summary>Shows the console on standard error.</summary>
    public bool Echo { get; set; }

    /// <summary>Starts a process and waits for its agent.</summary>
    /// <param name="startMarker">A line that the process prints when what is to be timed begins; null for the start of the process.</param>
    /// <param name="boots">An init comes before the agent.</param>
    /// <exception cref="BenchmarkException">The agent did not answer.</exception>
    public static Session Start(ProcessStartInfo start, string? startMarker, bool boots, TimeSpan timeout, bool echo)
    {
        var session = new Session(start, timeout, echo);
        try
        {
            if (startMarker is not null)
            {
                session._started = session.WaitFor(startMarker).Time;
            }

            if (boots)
            {
                session.BootSeconds = Stopwatch.GetElapsedTime(session._started, session.WaitFor(InitMarker).Time).TotalSeconds;
            }

            session.WaitFor(ReadyMarker);
            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>Prepares, runs and checks a command.</summary>
    /// <exception cref="BenchmarkException">It failed, took too long, or the machine ended.</exception>
    public Measurement Run(string prepare, string command, string check)
    {
        _process.StandardInput.Write($"{prepare}\n{command}\n{check}\n");
        _process.StandardInput.Flush();
        long begin = WaitFor(BeginMarker).Time;
        var (end, line) = WaitFor(EndMarker);
        string checkedResult = WaitFor(CheckMarker).Text[CheckMarker.Length..];
        string[] fields = line.Split(' ', 4);
        return fields is [_, "0", var seconds, var result]
            ? new Measurement(Stopwatch.GetElapsedTime(begin, end).TotalSeconds, double.Parse(seconds, CultureInfo.InvariantCulture), (result + checkedResult).Trim())
            : throw Failure($"'{command}' failed with '{line}'");
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.WaitForExit();
        _process.Dispose();
        _lines.Dispose();
    }

    private (long Time, string Text) WaitFor(string marker)
    {
        long deadline = Environment.TickCount64 + (long)Timeout.TotalMilliseconds;
        while (true)
        {
            int left = (int)Math.Max(0, deadline - Environment.TickCount64);
            if (!_lines.TryTake(out var line, left))
            {
                throw Failure(_lines.IsCompleted ? $"The machine ended before {marker}" : $"There was no {marker} within {Timeout.TotalSeconds:0} s");
            }

            if (Echo)
            {
                Console.Error.WriteLine(line.Text);
            }

            _last.Enqueue(line.Text);
            if (_last.Count > KeptLines)
            {
                _last.Dequeue();
            }

            if (line.Text.Contains(PanicText, StringComparison.Ordinal))
            {
                throw Failure("The guest's kernel panicked");
            }

            if (line.Text.StartsWith(marker, StringComparison.Ordinal))
            {
                return line;
            }
        }
    }

    private BenchmarkException Failure(string what) => new($"{what}. The last lines were:\n  {string.Join("\n  ", _last)}");

    private void ReadLines()
    {
        try
        {
            while (_process.StandardOutput.ReadLine() is { } text)
            {
                _lines.Add((Stopwatch.GetTimestamp(), text.TrimEnd('\r')));
            }

            _lines.CompleteAdding();
        }
        catch (Exception exception) when (exception is ObjectDisposedException or InvalidOperationException or IOException)
        {
            // The session was disposed meanwhile; nobody waits for lines any more.
        }
    }
}
