using Hypervisor.Shell.Execution;
using Hypervisor.Shell.Language;
using Hypervisor.Tests.Unit.Inventory;

namespace Hypervisor.Tests.Unit.Shell;

/// <summary>Runs command lines as hv does, on a host of its own.</summary>
internal sealed class ShellHost : IDisposable
{
    public TemporaryHost Temporary { get; } = new();

    public RecordingScreen Screen { get; } = new();

    public bool Succeeded { get; private set; }

    /// <summary>Runs a line; every command of it is given this host's folder.</summary>
    public List<object> Run(string line)
    {
        var results = new List<object>();
        Succeeded = true;
        foreach (PipelineSyntax pipeline in CommandParser.Parse(line))
        {
            Succeeded &= new PipelineRunner(Screen).Run(
                new PipelineSyntax([.. pipeline.Commands.Select(command => command with { Arguments = [.. command.Arguments, ArgumentSyntax.ForParameter("HostPath", Temporary.Folder)] })]),
                results.Add);
        }

        return results;
    }

    public void Dispose() => Temporary.Dispose();
}
