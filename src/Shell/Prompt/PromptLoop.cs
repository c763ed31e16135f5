using Hypervisor.Shell.Execution;

namespace Hypervisor.Shell.Prompt;

/// <summary>The prompt: reads a line, runs it, and again.</summary>
internal sealed class PromptLoop(ShellSession session, IScreen screen)
{
    /// <summary>Runs until <c>exit</c> or the end of input.</summary>
    public bool Run()
    {
        bool succeeded = true;
        while (true)
        {
            Console.Out.Write("hv> ");
            string? line = Console.In.ReadLine();
            if (line is null || line.Trim() is "exit" or "quit")
            {
                return succeeded;
            }

            session.Resume();
            succeeded = session.RunLine(line);
            _ = screen;
        }
    }
}
