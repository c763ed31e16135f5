using System.Diagnostics;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Monitoring;
using Hypervisor.Engine.Monitoring.Screen;
using Hypervisor.Engine.Native.Terminal;

namespace Hypervisor.Cmdlets.Console;

/// <summary>What the command line said of the screen; what it did not say, the settings say.</summary>
internal sealed record InteractiveTopOptions
{
    public string? Panel { get; init; }

    public double? DelaySeconds { get; init; }

    public bool ExpandAll { get; init; }

    /// <summary>Refreshes after which it ends by itself.</summary>
    public int? Iterations { get; init; }
}

/// <summary>Binds the screen of EsxTop to this process's terminal: keys in, pictures out, the terminal's size, and the time between refreshes.</summary>
internal sealed class InteractiveTop
{
    private const int BufferBytes = 1024;

    // A stop and a new size are noticed within this; the rest of an escape sequence comes sooner.
    private static readonly TimeSpan LongestWait = TimeSpan.FromMilliseconds(250), SequenceWait = TimeSpan.FromMilliseconds(50);

    // A panel without numbers does not wait a whole interval for its first.
    private static readonly TimeSpan FirstInterval = TimeSpan.FromSeconds(1);

    private readonly TopSettingsStore _store;
    private readonly TopSource _source;
    private readonly TopScreen _screen;
    private readonly ScreenPainter _painter = new(Environment.GetEnvironmentVariable("NO_COLOR") is null or "");
    private readonly TopKeyDecoder _decoder = new();
    private readonly byte[] _bytes = new byte[BufferBytes];
    private readonly int _iterations;
    private (int Width, int Height) _size;
    private long _refreshed;

    public InteractiveTop(HypervisorHost host, InteractiveTopOptions options)
    {
        _store = new TopSettingsStore(host.Folder);
        _source = new TopSource(host, EsxTopPanels.Of(host));
        _screen = MakeScreen(options);
        _iterations = options.Iterations ?? int.MaxValue;
    }

    private enum Wake
    {
        Draw,
        Refresh,
        End,
    }

    /// <summary>There is a terminal at both ends that understands the screen.</summary>
    public static bool IsPossible => !System.Console.IsInputRedirected && !System.Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";

    /// <summary>Runs until q, Ctrl-C, the last refresh, or a stop.</summary>
    public void Run(CancellationToken cancellation)
    {
        // Asked before the terminal is raw: the runtime notes on its first use of the console what it will put back at its end.
        _size = TerminalSize();
        using Stream output = System.Console.OpenStandardOutput();
        using RawTerminal terminal = RawTerminal.Enter(output, ScreenPainter.Leave);
        terminal.TryWrite(ScreenPainter.Enter);
        int refreshes = 0;
        for (Wake wake = Wake.Refresh; wake != Wake.End; wake = Wait(cancellation))
        {
            if (wake == Wake.Refresh)
            {
                _screen.Show(_source.Take(_screen.Panel));
                _refreshed = Stopwatch.GetTimestamp();
                refreshes += _screen.NeedsNumbers ? 0 : 1;
            }

            if (!Paint(terminal) || refreshes >= _iterations)
            {
                return;
            }
        }
    }

    private Wake Wait(CancellationToken cancellation)
    {
        while (!cancellation.IsCancellationRequested)
        {
            TimeSpan interval = _screen.NeedsNumbers && _screen.Delay > FirstInterval ? FirstInterval : _screen.Delay, left = interval - Stopwatch.GetElapsedTime(_refreshed);
            if (left <= TimeSpan.Zero)
            {
                return Wake.Refresh;
            }

            TimeSpan longest = _decoder.IsPending ? SequenceWait : LongestWait, wait = left < longest ? left : longest;
            switch (StandardInput.Read(_bytes, (int)Math.Ceiling(wait.TotalMilliseconds), out int count))
            {
                case StandardInput.Outcome.End:
                    return Wake.End;
                case StandardInput.Outcome.Bytes:
                    return Press(_decoder.Decode(_bytes.AsSpan(0, count)));
                case StandardInput.Outcome.Nothing when _decoder.IsPending:
                    return Press(_decoder.Flush());
            }

            if (TerminalSize() is var size && size != _size)
            {
                _size = size;
                return Wake.Draw;
            }
        }

        return Wake.End;
    }

    private Wake Press(IReadOnlyList<TopKey> keys)
    {
        Wake wake = Wake.Draw;
        foreach (TopKey key in keys)
        {
            switch (_screen.Press(key))
            {
                case TopRequest.Quit:
                    return Wake.End;
                case TopRequest.Refresh:
                    wake = Wake.Refresh;
                    break;
                case TopRequest.Repaint:
                    _painter.Forget();
                    break;
                case TopRequest.Write:
                    Write();
                    break;
            }
        }

        return wake;
    }

    private bool Paint(RawTerminal terminal)
    {
        var buffer = new ScreenBuffer(_size.Width, _size.Height);
        _screen.Draw(buffer);
        string changes = _painter.Paint(buffer);
        return changes.Length == 0 || terminal.TryWrite(changes);
    }

    private TopScreen MakeScreen(InteractiveTopOptions options)
    {
        TopSettings settings;
        string problem = "";
        try
        {
            settings = _store.Read();
        }
        catch (MachineException exception)
        {
            (settings, problem) = (new TopSettings(), exception.Message);
        }

        settings = settings with { Panel = options.Panel ?? settings.Panel, DelaySeconds = options.DelaySeconds ?? settings.DelaySeconds };
        var screen = new TopScreen(_source.Panels, TopColumns.Of, settings, _store.Path);
        screen.Say(problem);
        if (options.ExpandAll)
        {
            screen.ExpandAll();
        }

        return screen;
    }

    private void Write()
    {
        try
        {
            _store.Write(_screen.Describe());
            _screen.Say($"Written to {_store.Path}.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or MachineException)
        {
            _screen.Say(exception.Message);
        }
    }

    private static (int Width, int Height) TerminalSize() => (Math.Max(1, System.Console.WindowWidth), Math.Max(1, System.Console.WindowHeight));
}
