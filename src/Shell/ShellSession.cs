using Hypervisor.Cmdlets.Console;
using Hypervisor.Shell.Execution;
using Hypervisor.Shell.Language;
using Hypervisor.Shell.Output;

namespace Hypervisor.Shell;

/// <summary>Runs what was read and writes the results.</summary>
internal sealed class ShellSession(IScreen screen, OutputFormat format, TextWriter? output = null)
{
    private readonly PipelineRunner _runner = new(screen);

    private TextWriter Output => output ?? Console.Out;

    /// <summary>The user pressed Ctrl-C.</summary>
    public bool IsStopped { get; private set; }

    /// <summary>Stops what runs; false when nothing does, and the key ends the program.</summary>
    public bool Stop()
    {
        IsStopped = true;
        return _runner.Stop();
    }

    /// <summary>Forgets a stop, for the next line of a prompt.</summary>
    public void Resume() => IsStopped = false;

    /// <summary>Runs pipelines in turn; true when there was no error. A pipeline that was stopped ends the rest.</summary>
    /// <exception cref="UsageException">Commands or parameters make no sense.</exception>
    public bool Run(IReadOnlyList<PipelineSyntax> pipelines)
    {
        bool succeeded = true;
        foreach (PipelineSyntax pipeline in pipelines)
        {
            succeeded &= Run(pipeline);
            if (IsStopped)
            {
                return false;
            }
        }

        return succeeded;
    }

    /// <summary>Runs commands from a text that is not typed, such as a pipe, as their lines come; a line that makes no sense ends it.</summary>
    public bool RunScript(TextReader reader)
    {
        StandardInputOwner.IsReadByShell = true;
        bool succeeded = true;
        foreach (IReadOnlyList<PipelineSyntax> pipelines in ScriptReader.Read(reader))
        {
            succeeded &= Run(pipelines);
            if (IsStopped)
            {
                return false;
            }
        }

        return succeeded;
    }

    /// <summary>Runs a line that was typed; an error is shown and the prompt goes on.</summary>
    public bool RunLine(string line)
    {
        try
        {
            return Run(CommandParser.Parse(line));
        }
        catch (UsageException exception)
        {
            screen.Error("", exception.Message);
            return false;
        }
    }

    private bool Run(PipelineSyntax written)
    {
        PipelineSyntax pipeline = Shortcuts.Resolve(written);
        if (pipeline.Commands is [{ } only] && string.Equals(only.Name, "help", StringComparison.OrdinalIgnoreCase))
        {
            return Help.HelpCommand.Run([.. only.Arguments.Select(static argument => argument.Value?.ToString() ?? argument.Parameter ?? "")], Output) == 0;
        }

        // Asked about one of its commands, a pipeline explains it and does nothing.
        if (pipeline.Commands.FirstOrDefault(static command => command.Arguments.Any(IsQuestion)) is { } asked)
        {
            return Help.HelpCommand.Run([asked.Name], Output) == 0;
        }

        var results = new List<object>();
        bool succeeded = _runner.Run(pipeline, result => Take(result, results));
        if (results.Count > 0 || format == OutputFormat.Json)
        {
            ResultWriter.Write(results, format, Output, Console.IsOutputRedirected ? 0 : Console.WindowWidth);
            Output.Flush();
        }

        return succeeded;
    }

    // Lines of text need no widths of columns: they are written as they come, such as those of Get-EsxTop -Batch, which may go on for hours.
    private void Take(object result, List<object> results)
    {
        if (format is not (OutputFormat.Json or OutputFormat.Csv) && results.Count == 0 && result is string line)
        {
            Output.WriteLine(line);
            Output.Flush();
        }
        else
        {
            results.Add(result);
        }
    }

    // "Get-VM -?" as in PowerShell, "hv Get-VM --help" as everywhere else.
    private static bool IsQuestion(ArgumentSyntax argument) => argument.Parameter == "?" || argument is { Parameter: null, Value: SystemWord { Text: "--help" } };
}
