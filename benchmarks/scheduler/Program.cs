using System.Diagnostics;
using System.Globalization;
using Hypervisor.Benchmarks.Scheduler;
using Hypervisor.Engine.Scheduling;

const double AllTheTime = 0.98;

// benchmarks/scheduler [seconds a scenario] [processors] [part of a scenario's name]; with 0 seconds only the policy's decisions are measured, with a name
// only those scenarios, with "wake" only how long a waking thread waits.
int seconds = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 10;
int processors = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : Environment.ProcessorCount;
string only = args.Length > 2 ? args[2] : "";
var time = TimeSpan.FromSeconds(seconds);
if (only.Length == 0)
{
    MeasureDecisions();
}

if (seconds == 0)
{
    return;
}

string kernel = Path.GetTempFileName();
SpinningGuest.Write(kernel);
try
{
    MeasureUncontended();
    bool cgroups = CgroupRun.IsPossible;
    Console.WriteLine();
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Busy machines on {processors} processors, {seconds} s each. Percent of a processor; errors are against the entitlement to the time that was had together."));
    Console.WriteLine(cgroups ? "cgroup: plain threads under cpu.shares and cpu.cfs_quota_us." : "cgroup: not to be had here.");
    Console.WriteLine();
    Console.WriteLine("| scenario | machine | entitled | ours: slots | ours: CPU time | error | cgroup: CPU time | error |");
    Console.WriteLine("|---|---|---:|---:|---:|---:|---:|---:|");
    double worst = 0, worstCgroup = 0, accounted = 0;
    foreach (Scenario scenario in Scenario.All.Where(scenario => scenario.Name.Contains(only, StringComparison.OrdinalIgnoreCase)))
    {
        double[] entitled = scenario.Entitled(processors, processors);
        GuestRun.Result ours = GuestRun.Measure(scenario, processors, time, kernel);
        double[]? theirs = cgroups ? CgroupRun.Measure(scenario, time) : null;
        accounted = Math.Max(accounted, ours.Accounted);

        // When other programs run there is less to divide. Reservations and limits are still whole then, so it is divided again. One that
        // had a slot all the time could not have had more than the operating system let it have there; the others are owed the rest.
        double[] most = [.. ours.Run.Zip(ours.Used, static (run, used) => run > AllTheTime ? used : 1)];
        double[] owed = scenario.Entitled(processors, ours.Used.Sum(), most), theirsOwed = theirs is null ? [] : scenario.Entitled(processors, theirs.Sum());
        for (int i = 0; i < entitled.Length; i++)
        {
            double error = (ours.Used[i] / owed[i]) - 1;
            worst = Math.Max(worst, Math.Abs(error));
            string other = "| - | - |";
            if (theirs is not null)
            {
                double theirError = (theirs[i] / theirsOwed[i]) - 1;
                worstCgroup = Math.Max(worstCgroup, Math.Abs(theirError));
                other = string.Create(CultureInfo.InvariantCulture, $"| {theirs[i] * 100:0.0} | {theirError * 100:+0.0;-0.0;0.0} % |");
            }

            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"| {scenario.Name} | {i + 1} | {entitled[i] * 100:0.0} | {ours.Run[i] * 100:0.0} | {ours.Used[i] * 100:0.0} | {error * 100:+0.0;-0.0;0.0} % {other}"));
        }

        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"| {scenario.Name} | all | {entitled.Sum() * 100:0.0} | {ours.Run.Sum() * 100:0.0} | {ours.Used.Sum() * 100:0.0} | | {theirs?.Sum() * 100:0.0} | |"));
    }

    Console.WriteLine();
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Largest error: {worst:0.0 %}; cgroup {worstCgroup:0.0 %}. Run, ready, co-stop and wait sum to wall time within {accounted:0.000 %}."));
    if (only.Length == 0 || only == "wake")
    {
        MeasureWakes(seconds * 100, processors, kernel);
    }
}
finally
{
    File.Delete(kernel);
}

static void MeasureDecisions()
{
    Console.WriteLine("Simulated: 128 processors, 10,000 worlds. The mean of all decisions, with the clock that measures it.");
    Console.WriteLine();
    Console.WriteLine("| mixture | ns a decision | decisions |");
    Console.WriteLine("|---|---:|---:|");
    foreach (DecisionMix mix in DecisionMix.All)
    {
        (double nanoseconds, long decisions) = mix.Measure();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {mix.Name} | {nanoseconds:0} | {decisions} |"));
    }

    Console.WriteLine();
}

static void MeasureWakes(int wakes, int processors, string kernel)
{
    Console.WriteLine();
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"A thread that works a millisecond and sleeps twenty wakes beside spinning guests; milliseconds until it runs, {wakes} times."));
    Console.WriteLine("The last columns are the host's part: the same of a thread that sleeps and needs no slot, in the same run.");
    Console.WriteLine();
    Console.WriteLine("| guests | median | 95 % | 99 % | most | host: median | 95 % | 99 % | most |");
    Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    foreach (int hogs in new[] { 2, 4, 8, 16 })
    {
        (TimeSpan[] latencies, TimeSpan[] host) = GuestRun.WakeLatencies(hogs, processors, wakes, kernel);
        Console.WriteLine($"| {hogs} {Percentiles(latencies)}{Percentiles(host)}|");
    }
}

static string Percentiles(TimeSpan[] sorted) => string.Concat(new[] { 0.5, 0.95, 0.99, 1 }
    .Select(part => string.Create(CultureInfo.InvariantCulture, $"| {sorted[Math.Min(sorted.Length - 1, (int)(part * sorted.Length))].TotalMilliseconds:0.00} ")));

static void MeasureUncontended()
{
    const int Rounds = 1_000_000;
    using var scheduler = new CpuScheduler(HostTopology.Uniform(2));
    using MachineSchedule machine = scheduler.Add(Guid.NewGuid(), "m", 1, MachinePlan.Default);
    WorldPermit permit = machine.PermitFor(0, static () => { });
    for (int pass = 0; pass < 2; pass++)
    {
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < Rounds; i++)
        {
            permit.Acquire();
            permit.Release(WorldState.Idle);
        }

        if (pass == 1)
        {
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"A halt and a wake-up of a virtual processor that nobody competes with: {Stopwatch.GetElapsedTime(start).TotalNanoseconds / Rounds:0} ns in the scheduler."));
        }
    }
}
