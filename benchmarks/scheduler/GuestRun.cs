using System.Diagnostics;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Native.Timing;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Scheduling;

namespace Hypervisor.Benchmarks.Scheduler;

/// <summary>A scenario with real machines: guests that spin on the software backend, under the engine's scheduler.</summary>
internal static class GuestRun
{
    private const long SleepNanoseconds = 20_000_000;

    /// <summary>Processors that each machine had, by the scheduler's account and by the operating system's.</summary>
    /// <param name="Run">Time on a slot.</param>
    /// <param name="Used">Processor time of the thread.</param>
    /// <param name="Accounted">Worst sum of the states of a world, as part of wall time.</param>
    public sealed record Result(double[] Run, double[] Used, double Accounted);

    public static Result Measure(Scenario scenario, int processors, TimeSpan time, string kernel)
    {
        using var scheduler = new CpuScheduler(Host(processors));
        scheduler.SetBudget(processors, scenario.BudgetMHz);
        var factory = new MachineFactory(scheduler);
        IMachine[] machines = [.. scenario.Machines.Select((settings, index) => factory.Create(ConfigurationOf($"m{index}", settings, kernel)))];
        try
        {
            Array.ForEach(machines, static machine => machine.Start());
            // What starting costs is over by then; the measurement is what happens while this thread sleeps.
            Thread.Sleep(TimeSpan.FromSeconds(1));
            Dictionary<Guid, WorldSample> before = scheduler.Sample().ToDictionary(static sample => sample.MachineId);
            long start = Stopwatch.GetTimestamp();
            Thread.Sleep(time);
            Dictionary<Guid, WorldSample> after = scheduler.Sample().ToDictionary(static sample => sample.MachineId);
            double wall = Stopwatch.GetElapsedTime(start).TotalNanoseconds;
            Guid[] ids = [.. machines.Select(static machine => machine.Configuration.Id)];
            return new Result(
                [.. ids.Select(id => (after[id].Times.Run - before[id].Times.Run) / wall)],
                [.. ids.Select(id => (after[id].Used - before[id].Used) / wall)],
                ids.Max(id => Math.Abs(((after[id].Times.Total - before[id].Times.Total) / (double)(after[id].Time - before[id].Time)) - 1)));
        }
        finally
        {
            Array.ForEach(machines, static machine => machine.Dispose());
        }
    }

    /// <summary>
    /// Time from waking to running of a thread that works a millisecond and sleeps twenty, beside guests that spin; and what of that the
    /// operating system takes: how much later than at the end of its sleep a thread runs that needs no slot. Both sorted.
    /// </summary>
    public static (TimeSpan[] Waits, TimeSpan[] Host) WakeLatencies(int hogs, int processors, int wakes, string kernel)
    {
        using var scheduler = new CpuScheduler(Host(processors));
        var factory = new MachineFactory(scheduler);
        IMachine[] machines = [.. Enumerable.Range(0, hogs).Select(index => factory.Create(ConfigurationOf($"hog{index}", new CpuEntitlement(1000), kernel)))];
        using MachineSchedule interactive = scheduler.Add(Guid.NewGuid(), "interactive", 1, MachinePlan.Default);
        WorldPermit permit = interactive.PermitFor(0, static () => { });
        try
        {
            Array.ForEach(machines, static machine => machine.Start());
            TimeSpan[] waits = new TimeSpan[wakes], host = new TimeSpan[wakes];
            using PreciseEvent alarm = new();
            PreciseEvent.PrepareThread();
            for (int i = 0; i < wakes; i++)
            {
                // The interactive thread's own sleep, from which it is to wake.
                long slept = Stopwatch.GetTimestamp();
                alarm.Wait(SleepNanoseconds);
                host[i] = Stopwatch.GetElapsedTime(slept) - TimeSpan.FromMicroseconds(SleepNanoseconds / 1000);
                long woke = Stopwatch.GetTimestamp();
                permit.Acquire();
                waits[i] = Stopwatch.GetElapsedTime(woke);
                long runs = Stopwatch.GetTimestamp();
                while (Stopwatch.GetElapsedTime(runs) < TimeSpan.FromMilliseconds(1))
                {
                    Thread.SpinWait(20);
                }

                permit.Release(WorldState.Idle);
            }

            Array.Sort(waits);
            Array.Sort(host);
            return (waits, host);
        }
        finally
        {
            Array.ForEach(machines, static machine => machine.Dispose());
        }
    }

    // The first processors of this computer, in MHz of a scenario.
    private static HostTopology Host(int processors) =>
        new(Scenario.ProcessorMHz, new int[processors]) { HostNumbers = [.. HostTopologyProbe.OfThisComputer().HostNumbers.Take(processors)] };

    private static VirtualMachineConfiguration ConfigurationOf(string name, CpuEntitlement settings, string kernel) => new()
    {
        Id = Guid.NewGuid(),
        Name = name,
        MemoryMB = 8,
        NumCpu = 1,
        KernelPath = kernel,
        Backend = BackendKind.Software,
        Resources = new ResourceSettings
        {
            CpuSharesLevel = SharesLevel.Custom,
            NumCpuShares = settings.Shares,
            CpuReservationMhz = settings.ReservationMHz,
            CpuLimitMhz = settings.LimitMHz < 0 ? null : settings.LimitMHz,
        },
    };
}
