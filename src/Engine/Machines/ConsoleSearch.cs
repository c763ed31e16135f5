using System.Diagnostics;
using System.Text;
using System.Text.RegularExpressions;

namespace Hypervisor.Engine.Machines;

/// <summary>Text found in the output of a console.</summary>
/// <param name="Value">What matched.</param>
/// <param name="Line">The whole line, or lines, in which it stands.</param>
/// <param name="Output">Everything that was searched, up to the end of the match.</param>
/// <param name="Groups">What the groups of a pattern matched; the first is the whole.</param>
/// <param name="EndPosition">Position in the console's output after the match, bytes since power-on.</param>
public sealed record ConsoleMatch(string Value, string Line, string Output, string[] Groups, long EndPosition)
{
    /// <inheritdoc/>
    public override string ToString() => Value;
}

/// <summary>Waits until a text or a pattern appears in a console's output.</summary>
public sealed class ConsoleSearch
{
    // A pattern with nested repetitions must not hang the one who waits: the guest chooses the text it runs over.
    private static readonly TimeSpan PatternTimeout = TimeSpan.FromSeconds(2);

    // A guest writes a few bytes at a time; looking at each few would cost far more than this delay.
    private static readonly TimeSpan GatherTime = TimeSpan.FromMilliseconds(10);

    private readonly MachineConsole _console;
    private readonly Regex _pattern;
    private readonly StringBuilder _text = new();
    private readonly Decoder _decoder = Encoding.UTF8.GetDecoder();
    private long _position;

    private ConsoleSearch(MachineConsole console, Regex pattern, long position)
    {
        _console = console;
        _pattern = pattern;
        _position = position;
    }

    /// <summary>A search for this very text.</summary>
    public static ConsoleSearch ForText(MachineConsole console, string text, long position) =>
        new(console, new Regex(Regex.Escape(text), RegexOptions.CultureInvariant, PatternTimeout), position);

    /// <summary>A search for a regular expression, in which <c>^</c> and <c>$</c> stand for the ends of lines.</summary>
    /// <exception cref="ArgumentException">Not a regular expression.</exception>
    public static ConsoleSearch ForPattern(MachineConsole console, string pattern, long position) =>
        new(console, new Regex(pattern, RegexOptions.CultureInvariant | RegexOptions.Multiline, PatternTimeout), position);

    /// <summary>The last lines that were seen, for a message that says what came instead.</summary>
    public string LastLines(int count) =>
        string.Join('\n', _text.ToString().Split('\n').Select(static line => line.TrimEnd('\r')).Where(static line => line.Length > 0).TakeLast(count));

    /// <summary>Waits; null when the machine ended or the time ran out first.</summary>
    public async Task<ConsoleMatch?> WaitAsync(TimeSpan timeout, CancellationToken cancellation)
    {
        using var source = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        source.CancelAfter(timeout);
        byte[] buffer = new byte[16384];
        long start = Stopwatch.GetTimestamp();
        try
        {
            while (true)
            {
                bool completed = _console.IsCompleted;
                if (TakeOutput(buffer) && Find() is { } match)
                {
                    return match;
                }

                if (completed || Stopwatch.GetElapsedTime(start) > timeout)
                {
                    return null;
                }

                await _console.WaitForOutputAsync(_position, source.Token).ConfigureAwait(false);
                await Task.Delay(GatherTime, source.Token).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return null;
        }
    }

    private bool TakeOutput(byte[] buffer)
    {
        bool any = false;
        char[] characters = new char[buffer.Length + 1];
        int count;
        while ((count = _console.Read(ref _position, buffer)) > 0)
        {
            int decoded = _decoder.GetChars(buffer, 0, count, characters, 0, flush: false);
            _text.Append(characters, 0, decoded);
            any = true;
        }

        // As much as the console itself remembers.
        if (_text.Length > MachineConsole.HistoryBytes)
        {
            _text.Remove(0, _text.Length - MachineConsole.HistoryBytes);
        }

        return any;
    }

    private ConsoleMatch? Find()
    {
        string text = _text.ToString();
        Match match;
        try
        {
            match = _pattern.Match(text);
        }
        catch (RegexMatchTimeoutException exception)
        {
            throw new MachineException($"The pattern '{_pattern}' takes too long on this console's output; write it with fewer nested repetitions.", exception);
        }

        if (!match.Success)
        {
            return null;
        }

        int end = match.Index + match.Length;
        int lineStart = match.Index == 0 ? 0 : text.LastIndexOf('\n', match.Index - 1) + 1;
        int lineEnd = text.IndexOf('\n', end);
        string line = text[lineStart..(lineEnd < 0 ? text.Length : lineEnd)].TrimEnd('\r');

        // Bytes after the match that were read already belong to the next search.
        long endPosition = _position - Encoding.UTF8.GetByteCount(text.AsSpan(end));
        return new ConsoleMatch(match.Value, line, text[..end], match.Groups.Values.Select(static group => group.Value).ToArray(), endPosition);
    }
}
