using Hypervisor.Engine.Inventory;

namespace Hypervisor.Shell.Prompt;

/// <summary>The prompt: reads a line, runs it, and again.</summary>
internal sealed class PromptLoop(ShellSession session)
{
    private const string Prompt = "hv> ";

    /// <summary>Runs until <c>exit</c> or Ctrl-D; true when the last command succeeded.</summary>
    public bool Run()
    {
        var history = new CommandHistory(Path.Combine(HostFolder.Resolve().Root, "hv_history"));
        var editor = new LineEditor(history, ReadKey, Console.Out, static () => Console.WindowWidth);
        Console.Out.WriteLine("help lists the commands, Tab completes, exit leaves.");
        bool succeeded = true;
        while (editor.ReadLine(Prompt) is { } line && line.Trim().ToUpperInvariant() is not ("EXIT" or "QUIT"))
        {
            session.Resume();
            succeeded = session.RunLine(line);
        }

        history.Save();
        return succeeded;
    }

    // While a line is edited Ctrl-C is a key like others; while a command runs it stops the command.
    private static ConsoleKeyInfo ReadKey()
    {
        Console.TreatControlCAsInput = true;
        try
        {
            return Console.ReadKey(intercept: true);
        }
        finally
        {
            Console.TreatControlCAsInput = false;
        }
    }
}
