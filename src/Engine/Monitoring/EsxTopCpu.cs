namespace Hypervisor.Engine.Monitoring;

/// <summary>What a world (a virtual processor) has done since it was made: the raw counters of the CPU panel, all of them in microseconds or counts.</summary>
public sealed class EsxTopCpuCounters : IEsxTopCounters
{
    /// <inheritdoc/>
    public required string Name { get; init; }

    /// <summary>Number of the machine's group of worlds.</summary>
    public required int GroupId { get; init; }

    /// <summary>Number of the world.</summary>
    public required int WorldId { get; init; }

    /// <summary>Name of the world, such as <c>vmx-vcpu-0:web</c>.</summary>
    public required string WorldName { get; init; }

    /// <summary>Identity of the machine.</summary>
    public required Guid VMId { get; init; }

    /// <summary>Time since the world was made, µs. Run, ready, co-stop and wait time sum to this.</summary>
    public required long UpTimeInUsec { get; init; }

    /// <summary>Processor time that the operating system counted for the world's thread, µs.</summary>
    public required long UsedTimeInUsec { get; init; }

    /// <summary>Time on a physical processor, µs.</summary>
    public required long RunTimeInUsec { get; init; }

    /// <summary>Time in which it wanted one and had none, µs.</summary>
    public required long ReadyTimeInUsec { get; init; }

    /// <summary>Time in which it was stopped for being ahead of its siblings, µs.</summary>
    public required long CoStopTimeInUsec { get; init; }

    /// <summary>Time in which it wanted none, µs.</summary>
    public required long WaitTimeInUsec { get; init; }

    /// <summary>Part of the wait time in which the guest had halted it, µs.</summary>
    public required long IdleTimeInUsec { get; init; }

    /// <summary>Part of the ready time in which a limit held it, µs.</summary>
    public required long MaxLimitedTimeInUsec { get; init; }

    /// <summary>Time in which all worlds of the machine together waited for memory that was swapped or compressed, or that the host did not have, µs; null when it is not known.</summary>
    public long? GroupSwapWaitTimeInUsec { get; init; }

    /// <summary>Times that it was given a physical processor.</summary>
    public required long Dispatches { get; init; }

    /// <summary>Times that this was another one than before.</summary>
    public required long Migrations { get; init; }

    /// <summary>NUMA node that the machine is at home on; -1 without one.</summary>
    public required int HomeNode { get; init; }

    /// <summary>Most that a processor of the machine was ahead of a sibling without one, µs.</summary>
    public required long LargestSkewInUsec { get; init; }
}

/// <summary>
/// A line of the CPU panel: a machine, or a world of one. Percentages are of the wall time of one processor, so a machine of two can
/// reach 200. Run, ready, co-stop and wait of a world sum to 100.
/// </summary>
public sealed class EsxTopCpu : IEsxTopRow
{
    private readonly string _machine;

    internal EsxTopCpu(EsxTopCpuCounters first, string name, int id, int worlds, double used, double run, double ready, double coStop, double wait, double idle, double limited, double? swapWait)
    {
        Name = name;
        _machine = first.Name;
        Id = id;
        GroupId = first.GroupId;
        NumWorlds = worlds;
        PctUsed = used;
        PctRun = run;
        PctReady = ready;
        PctCoStop = coStop;
        PctWait = wait;
        PctIdle = idle;
        PctMaxLimited = limited;
        PctSwapWait = swapWait;
    }

    /// <summary>Number of the group or world.</summary>
    public int Id { get; }

    /// <summary>Number of the group.</summary>
    public int GroupId { get; }

    /// <inheritdoc/>
    public string Name { get; }

    string IEsxTopRow.Group => _machine;

    /// <summary>Worlds (NWLD).</summary>
    public int NumWorlds { get; }

    /// <summary>%USED: processor time that the operating system counted. Threads of devices are not in it.</summary>
    public double PctUsed { get; }

    /// <summary>%RUN: time on a physical processor.</summary>
    public double PctRun { get; }

    /// <summary>%SYS: time of the engine's other threads for the machine. Not told apart: always 0.</summary>
    public double PctSys => 0;

    /// <summary>%WAIT: time in which it wanted no processor.</summary>
    public double PctWait { get; }

    /// <summary>%VMWAIT: the wait time without idle.</summary>
    public double PctVMWait => Math.Round(Math.Max(0, PctWait - PctIdle), 2);

    /// <summary>%RDY: time in which it wanted a processor and had none. More than 10 a virtual processor is worth a look.</summary>
    public double PctReady { get; }

    /// <summary>%IDLE: time in which the guest had halted it.</summary>
    public double PctIdle { get; }

    /// <summary>%OVRLP: run time in which other programs of the host had the processor.</summary>
    public double PctOverlap => Math.Round(Math.Max(0, PctRun - PctUsed), 2);

    /// <summary>%CSTP: time in which it was stopped for being ahead of its siblings. More than 3 is worth a look.</summary>
    public double PctCoStop { get; }

    /// <summary>%MLMTD: part of the ready time in which a limit held it. More than 0 is worth a look.</summary>
    public double PctMaxLimited { get; }

    /// <summary>
    /// %SWPWT: time in which it waited for memory that was swapped or compressed, or that the host did not have; it keeps its physical processor
    /// meanwhile, so this is in %RUN. Of a machine with several worlds only known of all together. More than 5 a virtual processor is worth a look.
    /// </summary>
    public double? PctSwapWait { get; }
}
