using System.Globalization;

namespace Hypervisor.Shell;

/// <summary>
/// Says on standard error what is being done, and goes on saying how long it has taken: on a terminal in place, elsewhere as a line
/// every few seconds. The steps are for the person, the answer is the output: <c>hv quickstart &gt; answer</c> keeps them apart.
/// </summary>
internal sealed class QuickstartProgress : IDisposable
{
    private const string Mark = "» ", EraseLine = "\r\e[K";
    private const int UsualWidth = 80;
    private static readonly TimeSpan TerminalInterval = TimeSpan.FromSeconds(1), LogInterval = TimeSpan.FromSeconds(5);

    private readonly TextWriter _writer;
    private readonly Func<int>? _terminalWidth;
    private readonly TimeProvider _time;
    private readonly TimeSpan _interval;
    private readonly ITimer _timer;
    private readonly Lock _lock = new();
    private string? _step;
    private long _started;

    /// <param name="writer">Where to.</param>
    /// <param name="terminalWidth">Columns of the terminal; null where the writer is none.</param>
    /// <param name="time">The clock.</param>
    public QuickstartProgress(TextWriter writer, Func<int>? terminalWidth, TimeProvider time)
    {
        _writer = writer;
        _terminalWidth = terminalWidth;
        _time = time;
        _interval = terminalWidth is null ? LogInterval : TerminalInterval;
        _timer = time.CreateTimer(static state => ((QuickstartProgress)state!).Tick(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>On this process's standard error.</summary>
    public static QuickstartProgress OnStandardError() =>
        new(Console.Error, Console.IsErrorRedirected ? null : static () => Console.WindowWidth, TimeProvider.System);

    /// <summary>Ends the step before and begins one.</summary>
    public void Step(string text)
    {
        lock (_lock)
        {
            EndStep();
            _step = text;
            _started = _time.GetTimestamp();
            _timer.Change(_interval, Timeout.InfiniteTimeSpan);
            _writer.Write(Mark + text + (_terminalWidth is null ? Environment.NewLine : ""));
            _writer.Flush();
        }
    }

    /// <summary>Ends the step; what others write now begins on a line of its own.</summary>
    public void End()
    {
        lock (_lock)
        {
            EndStep();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        End();
        _timer.Dispose();
    }

    private void EndStep()
    {
        if (_step is not null && _terminalWidth is not null)
        {
            Redraw();
            _writer.WriteLine();
        }

        _step = null;
    }

    private void Tick()
    {
        lock (_lock)
        {
            if (_step is null)
            {
                return;
            }

            if (_terminalWidth is null)
            {
                _writer.WriteLine($"  … {Elapsed()}");
            }
            else
            {
                Redraw();
            }

            _writer.Flush();
            _timer.Change(_interval, Timeout.InfiniteTimeSpan);
        }
    }

    // A step that does not fit the row with its time stands as it is: a carriage return leads back only to the start of the last row.
    private void Redraw()
    {
        string line = $"{Mark}{_step} … {Elapsed()}";
        int width = _terminalWidth!() is > 0 and int known ? known : UsualWidth;
        if (_time.GetElapsedTime(_started) >= TerminalInterval && line.Length < width)
        {
            _writer.Write(EraseLine + line);
        }
    }

    private string Elapsed() => string.Create(CultureInfo.InvariantCulture, $"{Math.Round(_time.GetElapsedTime(_started).TotalSeconds):0} s");
}
