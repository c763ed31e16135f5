using System.ComponentModel;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>Runs rounds: in each, every platform in turn boots and runs all workloads, so that a change of the host's speed meets all of them.</summary>
internal sealed class Runner(Options options, Platform platform)
{
    private readonly Results _results = new(options);

    /// <summary>Everything ran and was as fast as it must be.</summary>
    public bool Run()
    {
        PlatformKind[] kinds = [.. options.Native ? [PlatformKind.Native] : (PlatformKind[])[], .. options.Qemu ? [PlatformKind.Qemu] : (PlatformKind[])[], PlatformKind.Ours];
        for (int round = 1; round <= options.Repeat; round++)
        {
            Console.Error.WriteLine($"round {round} of {options.Repeat}");
            foreach (var group in options.Workloads.GroupBy(workload => workload.Processors ?? options.Processors))
            {
                foreach (PlatformKind kind in kinds)
                {
                    RunGroup(kind, group.Key, [.. group]);
                }
            }
        }

        _results.Report();
        return _results.Good;
    }

    private void RunGroup(PlatformKind kind, int processors, Workload[] workloads)
    {
        if (kind == PlatformKind.Native && workloads is [{ Name: Workload.Boot }])
        {
            return;
        }

        Session? session = null;
        try
        {
            foreach (Workload workload in workloads)
            {
                // After a failure the rest gets another machine.
                session ??= platform.Start(kind, processors);
                try
                {
                    if (workload.Name != Workload.Boot)
                    {
                        _results.Add(workload, kind, session.Run(workload.PrepareAt(options.Scale), workload.CommandAt(options.Scale), workload.Check));
                    }
                    else if (session.Boot is { } boot)
                    {
                        _results.Add(workload, kind, boot);
                    }
                }
                catch (BenchmarkException exception)
                {
                    _results.AddProblem($"{workload.Name} on {kind}: {exception.Message}");
                    session.Dispose();
                    session = null;
                }
            }
        }
        catch (Exception exception) when (exception is BenchmarkException or Win32Exception)
        {
            _results.AddProblem($"{kind} did not start: {exception.Message}");
        }
        finally
        {
            session?.Dispose();
        }
    }
}
