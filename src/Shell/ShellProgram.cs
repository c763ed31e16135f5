using System.Reflection;
using System.Text;
using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Engine.Inventory;
using Hypervisor.Shell.Execution;
using Hypervisor.Shell.Language;
using Hypervisor.Shell.Output;

namespace Hypervisor.Shell;

/// <summary>The program <c>hv</c>: one command, a text of commands, or a prompt.</summary>
internal sealed class ShellProgram(string[] arguments)
{
    private const int Success = 0, Failure = 1, Usage = 2;
    private const int InterruptedBySignal = 130;

    private readonly TerminalScreen _screen = new();

    /// <summary>Runs to the end and returns the exit code: 0 when all went well, 1 after an error, 2 when what was typed made no sense.</summary>
    public int Run()
    {
        try
        {
            ShellOptions options = ShellOptions.Parse(arguments);
            if (options.HostPath is { } path)
            {
                Environment.SetEnvironmentVariable(HostFolder.EnvironmentVariable, Path.GetFullPath(path));
            }

            return Run(options);
        }
        catch (UsageException exception)
        {
            _screen.Error("hv", exception.Message);
            return Usage;
        }
    }

    private int Run(ShellOptions options)
    {
        if (options.ShowVersion)
        {
            string? version = typeof(ShellProgram).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion;
            Console.Out.WriteLine($"hv {version?.Split('+')[0]}");
            return Success;
        }

        if (options.ShowHelp)
        {
            return Help.HelpCommand.Run([], Console.Out);
        }

        if (options.Words is [{ } first, ..] && string.Equals(first, "help", StringComparison.OrdinalIgnoreCase))
        {
            return Help.HelpCommand.Run([.. options.Words.Skip(1)], Console.Out);
        }

        if (options.Words is [{ } word, ..] && string.Equals(word, "quickstart", StringComparison.OrdinalIgnoreCase))
        {
            using var quickstart = new QuickstartCommand(_screen, Console.Out);
            return quickstart.Run([.. options.Words.Skip(1)]);
        }

        var session = new ShellSession(_screen, options.Output);
        Console.CancelKeyPress += (_, key) => key.Cancel = session.Stop();
        if (Console.IsOutputRedirected && !OperatingSystem.IsWindows())
        {
            Console.SetOut(new StreamWriter(PipeOutput.Open(() => session.Stop()), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true });
        }

        if (options.Command is { } text)
        {
            return Finish(session, session.Run(CommandParser.Parse(text)));
        }

        if (options.Words.Count > 0)
        {
            return Finish(session, session.Run([CommandParser.FromWords(options.Words)]));
        }

        bool interactive = !Console.IsInputRedirected && !Console.IsOutputRedirected;
        return Finish(session, interactive ? new Prompt.PromptLoop(session).Run() : session.RunScript(Console.In));
    }

    private int Finish(ShellSession session, bool succeeded)
    {
        RunningMachines.LeaveInOrder(_screen);
        return ProcessEnd.ExitCode != 0 ? ProcessEnd.ExitCode
            : session.IsStopped ? InterruptedBySignal : succeeded ? Success : Failure;
    }
}
