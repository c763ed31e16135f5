namespace Hypervisor.Shell.Execution;

/// <summary>Messages on standard error: in colour on a terminal, plain elsewhere.</summary>
internal sealed class TerminalScreen : IScreen
{
    private const string Red = "\e[31m", Yellow = "\e[33m", Plain = "\e[0m", EraseLine = "\r\e[K";

    private readonly bool _colour = !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("NO_COLOR") is null or "";
    private readonly Lock _lock = new();
    private bool _progressShown;

    public bool CanAsk => !Console.IsInputRedirected && !Console.IsErrorRedirected;

    public void Error(string command, string message) => Line(Red, command.Length == 0 ? message : $"{command}: {message}");

    public void Warning(string message) => Line(Yellow, "WARNING: " + message);

    public void Verbose(string message) => Line(Yellow, "VERBOSE: " + message);

    public void WhatIf(string action, string target)
    {
        lock (_lock)
        {
            Console.Out.WriteLine($"What if: Performing the operation \"{action}\" on target \"{target}\".");
        }
    }

    public void Progress(string activity, string status, int percent)
    {
        if (Console.IsErrorRedirected)
        {
            return;
        }

        lock (_lock)
        {
            _progressShown = percent < 100;
            Console.Error.Write(_progressShown ? $"{EraseLine}{activity}: {(percent > 0 ? $"{percent} %" : status)}" : EraseLine);
        }
    }

    public Answer Ask(string question)
    {
        while (true)
        {
            Console.Error.Write($"{question} [Y]es, yes to [A]ll, [N]o, no to a[L]l (default: yes): ");
            switch (Console.In.ReadLine()?.Trim().ToUpperInvariant())
            {
                case "" or "Y" or "YES":
                    return Answer.Yes;
                case "A":
                    return Answer.YesToAll;
                case "N" or "NO":
                    return Answer.No;
                case "L" or null:
                    return Answer.NoToAll;
            }
        }
    }

    private void Line(string colour, string text)
    {
        lock (_lock)
        {
            if (_progressShown)
            {
                Console.Error.Write(EraseLine);
                _progressShown = false;
            }

            Console.Error.WriteLine(_colour ? colour + text + Plain : text);
        }
    }
}
