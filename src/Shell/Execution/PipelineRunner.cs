using Hypervisor.Cmdlets.Hosting;
using Hypervisor.Shell.Language;

namespace Hypervisor.Shell.Execution;

/// <summary>Runs pipelines: every stage begins, the first works, each object runs through all stages at once, every stage ends.</summary>
internal sealed class PipelineRunner(IScreen screen)
{
    private readonly Lock _lock = new();
    private List<CommandStage> _running = [];
    private bool _stopped;

    /// <summary>Runs a pipeline and hands its results to <paramref name="sink"/>; true when there was no error.</summary>
    /// <exception cref="UsageException">The commands or their parameters make no sense; nothing was run.</exception>
    public bool Run(PipelineSyntax pipeline, Action<object> sink)
    {
        List<CommandStage> stages = Assemble(pipeline, sink);
        try
        {
            lock (_lock)
            {
                _running = stages;
                _stopped = false;
            }

            Execute(stages);
            return !_stopped && stages.TrueForAll(static stage => stage.ErrorCount == 0);
        }
        catch (CommandTerminatedException exception)
        {
            screen.Error("", exception.Error.Message);
            return false;
        }
        finally
        {
            lock (_lock)
            {
                _running = [];
            }

            foreach (CommandStage stage in stages)
            {
                stage.Dispose();
            }
        }
    }

    /// <summary>Stops what runs; from any thread. False when nothing runs.</summary>
    public bool Stop()
    {
        lock (_lock)
        {
            _stopped = true;
            foreach (CommandStage stage in _running)
            {
                stage.Stop();
            }

            return _running.Count > 0;
        }
    }

    private List<CommandStage> Assemble(PipelineSyntax pipeline, Action<object> sink)
    {
        var stages = new List<CommandStage>();
        Action<object> next = sink;

        // From the last to the first, because each hands its objects to the one behind it.
        for (int i = pipeline.Commands.Count - 1; i >= 0; i--)
        {
            var stage = new CommandStage(pipeline.Commands[i], expectsInput: i > 0, screen, next);
            stages.Insert(0, stage);
            next = stage.Process;
        }

        return stages;
    }

    private static void Execute(List<CommandStage> stages)
    {
        foreach (CommandStage stage in stages)
        {
            stage.Begin();
        }

        stages[0].Process();
        foreach (CommandStage stage in stages)
        {
            stage.End();
        }
    }
}
