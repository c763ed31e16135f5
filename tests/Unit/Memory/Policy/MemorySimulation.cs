using System.Diagnostics;
using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Tests.Unit.Memory.Policy;

/// <summary>Drives the memory policy through simulated time: guests that use memory, balloons that follow or do not, and a host that evicts.</summary>
internal sealed class MemorySimulation
{
    public const long MB = 1 << 20, GB = 1 << 30, Second = 1_000_000_000;

    private const double Tick = 0.05;

    private MachineMemoryInput[] _inputs = [];
    private MachineMemoryDecision[] _decisions = [];
    private double _nextDecision;
    private double _time;

    public MemorySimulation(long budget) => Budget = budget;

    public MemoryPolicy Policy { get; } = new();

    public List<SimulatedMachine> Machines { get; } = [];

    public MemoryPoolPlan[] Pools { get; set; } = [];

    public long Budget { get; set; }

    public MemoryPolicySettings Settings { get; set; } = MemoryPolicySettings.Default;

    /// <summary>What the host can compress and swap in a second, bytes.</summary>
    public double EvictionSpeed { get; set; } = 1 << 30;

    public HostMemoryDecision Host { get; private set; }

    public double Used => Machines.Sum(static machine => machine.Consumed + machine.Overhead);

    /// <summary>Most that was ever used beyond the budget, bytes.</summary>
    public double WorstExcess { get; private set; }

    public int StateChanges { get; private set; }

    public HostMemoryState WorstState { get; private set; }

    public int Decisions { get; private set; }

    /// <summary>Simulated seconds.</summary>
    public double Time => _time;

    public TimeSpan TimeInPolicy { get; private set; }

    /// <summary>Called after each decision.</summary>
    public Action? Decided { get; set; }

    public SimulatedMachine Add(long memoryMB, int shares = 1000, long reservationMB = 0, long limitMB = -1, int pool = -1)
    {
        var machine = new SimulatedMachine(new MachineMemoryPlan
        {
            MemoryBytes = memoryMB * MB,
            Shares = shares,
            ReservationBytes = reservationMB * MB,
            LimitBytes = limitMB < 0 ? MachineMemoryPlan.Unlimited : limitMB * MB,
            Pool = pool,
            BalloonMaxBytes = memoryMB * MB * 65 / 100,
        });
        Machines.Add(machine);
        return machine;
    }

    /// <summary>Forgets what was counted.</summary>
    public void Reset()
    {
        (WorstExcess, StateChanges, WorstState) = (0, 0, Policy.State);
        foreach (SimulatedMachine machine in Machines)
        {
            (machine.Evicted, machine.BroughtIn, machine.Blocked, machine.BalloonMoved) = (0, 0, 0, 0);
        }
    }

    public void Run(double seconds, Action<double>? everySecond = null)
    {
        double end = _time + seconds, nextSecond = Math.Ceiling(_time);
        while (_time < end - (Tick / 2))
        {
            if (everySecond is not null && _time >= nextSecond)
            {
                everySecond(nextSecond);
                nextSecond++;
            }

            if (_time >= _nextDecision - (Tick / 2) || Budget - Used < Host.DecideBelowFreeBytes || Budget - Used >= Host.DecideAboveFreeBytes)
            {
                Decide();
                _nextDecision = _time + (Host.NextAfter / (double)Second);
            }

            double free = Budget - Used, eviction = EvictionSpeed * Tick;
            foreach (SimulatedMachine machine in Machines)
            {
                machine.Step(Tick, ref free, Host.BlockBelowFreeBytes, ref eviction);
            }

            WorstExcess = Math.Max(WorstExcess, Used - Budget);
            _time += Tick;
        }
    }

    private void Decide()
    {
        if (_inputs.Length != Machines.Count)
        {
            _inputs = new MachineMemoryInput[Machines.Count];
            _decisions = new MachineMemoryDecision[Machines.Count];
        }

        for (int i = 0; i < _inputs.Length; i++)
        {
            _inputs[i] = Machines[i].Input();
        }

        var host = new HostMemoryInput { BudgetBytes = Budget, UsedBytes = (long)Used, ProcessorMHz = 8000, Settings = Settings };
        HostMemoryState before = Policy.State;
        long start = Stopwatch.GetTimestamp();
        Host = Policy.Decide(in host, Pools, _inputs, _decisions, (long)(_time * Second));
        TimeInPolicy += Stopwatch.GetElapsedTime(start);
        Decisions++;
        StateChanges += Host.State == before ? 0 : 1;
        WorstState = Host.State > WorstState ? Host.State : WorstState;
        for (int i = 0; i < _decisions.Length; i++)
        {
            Machines[i].Take(in _decisions[i]);
        }

        Decided?.Invoke();
    }
}
