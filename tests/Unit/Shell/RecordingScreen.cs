using Hypervisor.Shell.Execution;

namespace Hypervisor.Tests.Unit.Shell;

internal sealed class RecordingScreen : IScreen
{
    public List<string> Lines { get; } = [];

    public Queue<Answer> Answers { get; } = new();

    public bool CanAsk => Answers.Count > 0;

    public void Error(string command, string message) => Lines.Add($"error {command}: {message}");

    public void Warning(string message) => Lines.Add($"warning {message}");

    public void Verbose(string message) => Lines.Add($"verbose {message}");

    public void WhatIf(string action, string target) => Lines.Add($"what if {action} {target}");

    public void Progress(string activity, string status, int percent)
    {
    }

    public Answer Ask(string question)
    {
        Lines.Add($"asked {question}");
        return Answers.Dequeue();
    }
}
