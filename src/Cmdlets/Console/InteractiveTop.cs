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
internal sealed class InteractiveTop(HypervisorHost host, InteractiveTopOptions options)
{
    private const int BufferBytes = 1024;

    // A stop and a new size are noticed within this; the rest of an escape sequence comes sooner.
    private static readonly TimeSpan LongestWait = TimeSpan.FromMilliseconds(250), SequenceWait = TimeSpan.FromMilliseconds(50);

    // A panel without numbers does not wait a whole interval for its first.
    private static readonly TimeSpan FirstInterval = TimeSpan.FromSeconds(1);

    private readonly TopSettingsStore _store = new(host.Folder);

    /// <summary>There is a terminal at both ends that understands the screen.</summary>
    public static bool IsPossible => !System.Console.IsInputRedirected && !System.Console.IsOutputRedirected && Environment.GetEnvironmentVariable("TERM") != "dumb";

    /// <summary>Runs until q, Ctrl-C, the last refresh, or a stop.</summary>
    public void Run(CancellationToken cancellation)
    {
        IReadOnlyList<EsxTopPanel> panels = EsxTopPanels.Of(host);
        var source = new TopSource(host, panels);
        TopScreen screen = MakeScreen(panels);
        var painter = new ScreenPainter(Environment.GetEnvironmentVariable("NO_COLOR") is null or "");

        // Asked before the terminal is raw: the runtime notes on its first use of the console what it will put back at its end.
        (int width, int height) = Size();
        using Stream output = System.Console.OpenStandardOutput();
        using RawTerminal terminal = RawTerminal.Enter(output, ScreenPainter.Leave);
        terminal.TryWrite(ScreenPainter.Enter);
        var decoder = new TopKeyDecoder();
        byte[] bytes = new byte[BufferBytes];
        int refreshes = 0;
        long refreshed = 0;
        bool refresh = true;
        while (!cancellation.IsCancellationRequested)
        {
            if (refresh)
            {
                screen.Show(source.Take(screen.Panel));
                refreshed = Stopwatch.GetTimestamp();
                refreshes += screen.NeedsNumbers ? 0 : 1;
            }

            if (!Paint(terminal, screen, painter, width, height) || refreshes >= options.Iterations)
            {
                return;
            }

            if (!Wait(out refresh))
            {
                return;
            }
        }

        // Waits until there is something to draw; false when it is over.
        bool Wait(out bool refresh)
        {
            refresh = false;
            while (!cancellation.IsCancellationRequested)
            {
                TimeSpan interval = screen.NeedsNumbers && screen.Delay > FirstInterval ? FirstInterval : screen.Delay, left = interval - Stopwatch.GetElapsedTime(refreshed);
                if (left <= TimeSpan.Zero)
                {
                    refresh = true;
                    return true;
                }

                TimeSpan longest = decoder.IsPending ? SequenceWait : LongestWait, wait = left < longest ? left : longest;
                switch (StandardInput.Read(bytes, (int)Math.Ceiling(wait.TotalMilliseconds), out int count))
                {
                    case StandardInput.Outcome.End:
                        return false;
                    case StandardInput.Outcome.Bytes:
                        return Press(decoder.Decode(bytes.AsSpan(0, count)), out refresh);
                    case StandardInput.Outcome.Nothing when decoder.IsPending:
                        return Press(decoder.Flush(), out refresh);
                }

                (int newWidth, int newHeight) = Size();
                if ((newWidth, newHeight) != (width, height))
                {
                    (width, height) = (newWidth, newHeight);
                    return true;
                }
            }

            return false;
        }

        bool Press(IReadOnlyList<TopKey> keys, out bool refresh)
        {
            refresh = false;
            foreach (TopKey key in keys)
            {
                switch (screen.Press(key))
                {
                    case TopRequest.Quit:
                        return false;
                    case TopRequest.Refresh:
                        refresh = true;
                        break;
                    case TopRequest.Repaint:
                        painter.Forget();
                        break;
                    case TopRequest.Write:
                        Write(screen);
                        break;
                }
            }

            return true;
        }
    }

    private TopScreen MakeScreen(IReadOnlyList<EsxTopPanel> panels)
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
        var screen = new TopScreen(panels, TopColumns.Of, settings, _store.Path);
        screen.Say(problem);
        if (options.ExpandAll)
        {
            screen.ExpandAll();
        }

        return screen;
    }

    private void Write(TopScreen screen)
    {
        try
        {
            _store.Write(screen.Describe());
            screen.Say($"Written to {_store.Path}.");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or MachineException)
        {
            screen.Say(exception.Message);
        }
    }

    private static bool Paint(RawTerminal terminal, TopScreen screen, ScreenPainter painter, int width, int height)
    {
        var buffer = new ScreenBuffer(width, height);
        screen.Draw(buffer);
        string changes = painter.Paint(buffer);
        return changes.Length == 0 || terminal.TryWrite(changes);
    }

    private static (int Width, int Height) Size() => (Math.Max(1, System.Console.WindowWidth), Math.Max(1, System.Console.WindowHeight));
}
