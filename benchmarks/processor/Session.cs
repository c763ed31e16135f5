using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>One timed command.</summary>
/// <param name="Seconds">Host time between the two markers.</param>
/// <param name="CpuSeconds">CPU time that the platform's process took for it.</param>
/// <param name="GuestSeconds">Elapsed time as the guest's own clock says; null for a boot.</param>
/// <param name="Result">Last line of its output.</param>
internal sealed record Measurement(double Seconds, double CpuSeconds, double? GuestSeconds, string Result);

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
    private readonly BlockingCollection<Line> _lines = [];
    private readonly Queue<string> _last = new();
    private Line _started = new(Stopwatch.GetTimestamp(), 0, "");

    private Session(ProcessStartInfo start, TimeSpan timeout, bool echo)
    {
        Timeout = timeout;
        Echo = echo;
        start.RedirectStandardInput = true;
        start.RedirectStandardOutput = true;
        _process = Process.Start(start)!;
        AppDomain.CurrentDomain.ProcessExit += OnExit;
        new Thread(ReadLines) { IsBackground = true, Name = "console" }.Start();
    }

    /// <summary>The time from the start to the first line of init; null on the host itself.</summary>
    public Measurement? Boot { get; private set; }

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
                session._started = session.WaitFor(startMarker);
            }

            if (boots)
            {
                session.Boot = Between(session._started, session.WaitFor(InitMarker), guestSeconds: null, "");
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
        Line begin = WaitFor(BeginMarker), end = WaitFor(EndMarker);
        string checkedResult = WaitFor(CheckMarker).Text[CheckMarker.Length..];
        string[] fields = end.Text.Split(' ', 5);
        if (fields is not [_, "0", var seconds, var cpuSeconds, var result])
        {
            throw Failure($"'{command}' failed with '{end.Text}'");
        }

        Measurement measured = Between(begin, end, double.Parse(seconds, CultureInfo.InvariantCulture), (result + checkedResult).Trim());

        // On the host itself the agent has not yet waited for the command, so that its time is not in the agent's.
        return Boot is null ? measured with { CpuSeconds = double.Parse(cpuSeconds, CultureInfo.InvariantCulture) } : measured;
    }

    public void Dispose()
    {
        AppDomain.CurrentDomain.ProcessExit -= OnExit;
        Kill();
        _process.WaitForExit();
        _process.Dispose();
        _lines.Dispose();
    }

    private void Kill()
    {
        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }
    }

    // A machine does not outlive the benchmark that was interrupted.
    private void OnExit(object? sender, EventArgs e) => Kill();

    private static Measurement Between(Line begin, Line end, double? guestSeconds, string result) =>
        new(Stopwatch.GetElapsedTime(begin.Time, end.Time).TotalSeconds, end.CpuSeconds - begin.CpuSeconds, guestSeconds, result);

    private Line WaitFor(string marker)
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
                long time = Stopwatch.GetTimestamp();
                _lines.Add(new Line(time, text.StartsWith('@') ? ReadCpuSeconds() : 0, text.TrimEnd('\r')));
            }

            _lines.CompleteAdding();
        }
        catch (Exception exception) when (exception is ObjectDisposedException or InvalidOperationException or IOException)
        {
            // The session was disposed meanwhile; nobody waits for lines any more.
        }
    }

    // User and system time of the process and of the children it has waited for (proc(5), /proc/pid/stat, fields 14 to 17, in 1/100 s).
    private double ReadCpuSeconds()
    {
        string stat = File.ReadAllText($"/proc/{_process.Id}/stat");
        string[] afterName = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return afterName[11..15].Sum(ticks => long.Parse(ticks, CultureInfo.InvariantCulture)) / 100.0;
    }

    private sealed record Line(long Time, double CpuSeconds, string Text);
}
