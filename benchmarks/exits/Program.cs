using System.Diagnostics;
using System.Globalization;
using Hypervisor.Benchmarks.Exits;
using Hypervisor.Engine.Partitions.Kvm;

// Port-I/O exits a second: this engine's Run loop against a minimal C program on the same /dev/kvm, alternately in one run.
var factory = new KvmPartitionFactory();
var probe = factory.Probe();
Console.WriteLine(probe.Reason);
if (!probe.Available)
{
    return 0;
}

int rounds = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 9;
int exits = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 100_000;
string? loop = Compile();
if (loop is null)
{
    Console.WriteLine("There is no C compiler (cc) to build the comparison with.");
    return 1;
}

// out 80h, al (or in al, 80h); jmp back.
(string Name, byte[] Code)[] guests = [("OUT", [0xE6, 0x80, 0xEB, 0xFC]), ("IN", [0xE4, 0x80, 0xEB, 0xFC])];
bool good = true;
Console.WriteLine($"{"exit",-5} {"C/s",12} {"engine/s",12} {"ratio",8} {"allocated",10}");
foreach (var (name, code) in guests)
{
    EngineLoop.Measure(factory, code, exits);
    var native = new List<double>();
    var engine = new List<double>();
    long allocated = 0;
    for (int i = 0; i < rounds; i++)
    {
        native.Add(exits / RunNative(loop, code, exits).TotalSeconds);
        var (time, bytes) = EngineLoop.Measure(factory, code, exits);
        engine.Add(exits / time.TotalSeconds);
        allocated += bytes;
    }

    // The median, as other work on the host only ever slows a round down or lets it be.
    double ratio = Median(engine) / Median(native);
    good &= allocated == 0;
    Console.WriteLine($"{name,-5} {Median(native),12:0} {Median(engine),12:0} {ratio,8:0.000} {allocated,10}");
}

File.Delete(loop);
return good ? 0 : 1;

static double Median(List<double> values) => values.Order().ElementAt(values.Count / 2);

static string? Compile()
{
    string target = Path.Combine(Path.GetTempPath(), $"hypervisor-exits-{Environment.ProcessId}");
    try
    {
        using var compiler = Process.Start("cc", ["-O2", "-o", target, Path.Combine(AppContext.BaseDirectory, "loop.c")]);
        compiler.WaitForExit();
        return compiler.ExitCode == 0 ? target : null;
    }
    catch (System.ComponentModel.Win32Exception)
    {
        return null;
    }
}

static TimeSpan RunNative(string program, byte[] code, int exits)
{
    var start = new ProcessStartInfo(program, [Convert.ToHexString(code), exits.ToString(CultureInfo.InvariantCulture)]) { RedirectStandardOutput = true };
    using var process = Process.Start(start)!;
    string output = process.StandardOutput.ReadToEnd();
    process.WaitForExit();
    return TimeSpan.FromMicroseconds(long.Parse(output, CultureInfo.InvariantCulture) / 1000.0);
}
