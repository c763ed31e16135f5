using System.Globalization;
using Hypervisor.Benchmarks.Stops;
using Hypervisor.Engine.Partitions.Software;

// How long the software processor takes to leave the guest when it is asked to (for a scheduler's slice, say), and to come to an
// interrupt's handler, whatever the guest does. To be run where the two threads have processors of their own.
const double bound = 100;
int samples = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 3000;
Console.WriteLine($"{samples} samples each; microseconds");
Console.WriteLine("| the guest runs | stop: median | 99 % | 99.9 % | longest | interrupt: median | 99 % | 99.9 % | longest |");
Console.WriteLine("|---|---|---|---|---|---|---|---|---|");
bool good = true;
foreach (Load load in Load.All)
{
    using var machine = new StopMachine(new SoftwarePartitionFactory(), load);
    var (stops, interrupts) = machine.Measure(samples);
    good &= At(stops, 0.99) <= bound && At(interrupts, 0.99) <= bound;
    Console.WriteLine($"| {load.Name} | {Row(stops)} | {Row(interrupts)} |");
}

return good ? 0 : 1;

static string Row(TimeSpan[] times) =>
    string.Join(" | ", ((double[])[0.5, 0.99, 0.999, 1]).Select(part => At(times, part).ToString("0.0", CultureInfo.InvariantCulture)));

static double At(TimeSpan[] sorted, double part) => sorted[Math.Min(sorted.Length - 1, (int)(part * sorted.Length))].TotalMicroseconds;
