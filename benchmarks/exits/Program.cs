using System.Diagnostics;
using System.Globalization;
using Hypervisor.Benchmarks.Exits;
using Hypervisor.Engine.Partitions.Kvm;

// Port-I/O exits a second: this engine's Run loop against a minimal C program on the same /dev/kvm, alternately in one run. What counts is
// the fastest chunk of exits, as other work on the host only ever slows one down.
const int chunk = 250;
var factory = new KvmPartitionFactory();
var probe = factory.Probe();
Console.WriteLine(probe.Reason);
if (!probe.Available)
{
    return 0;
}

int rounds = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : 12;
int exits = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 10_000;
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
    EngineLoop.Measure(factory, code, exits, chunk);
    double native = 0, engine = 0;
    long allocated = 0;
    for (int i = 0; i < rounds; i++)
    {
        native = Math.Max(native, chunk / RunNative(loop, code, exits).TotalSeconds);
        var (time, bytes) = EngineLoop.Measure(factory, code, exits, chunk);
        engine = Math.Max(engine, chunk / time.TotalSeconds);
        allocated += bytes;
    }

    double ratio = engine / native;
    good &= allocated == 0 && ratio >= 0.95;
    Console.WriteLine($"{name,-5} {native,12:0} {engine,12:0} {ratio,8:0.000} {allocated,10}");
}

File.Delete(loop);
return good ? 0 : 1;

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
    var start = new ProcessStartInfo(program, [Convert.ToHexString(code), $"{exits}", $"{chunk}"]) { RedirectStandardOutput = true };
    using var process = Process.Start(start)!;
    string output = process.StandardOutput.ReadToEnd();
    process.WaitForExit();
    return TimeSpan.FromMicroseconds(long.Parse(output, CultureInfo.InvariantCulture) / 1000.0);
}
