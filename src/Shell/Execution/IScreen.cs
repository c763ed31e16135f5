using Hypervisor.Cmdlets.Hosting;

namespace Hypervisor.Shell.Execution;

/// <summary>Where messages for the person go; results go to the formatter.</summary>
internal interface IScreen
{
    /// <summary>Somebody can be asked.</summary>
    bool CanAsk { get; }

    void Error(string command, string message);

    void Warning(string message);

    void Verbose(string message);

    /// <summary>Says what would be done.</summary>
    void WhatIf(string action, string target);

    void Progress(string activity, string status, int percent);

    /// <summary>Asks a question.</summary>
    Answer Ask(string question);
}

/// <summary>An answer to a question.</summary>
internal enum Answer
{
    Yes,
    YesToAll,
    No,
    NoToAll,
}
