using System.Globalization;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>What the command line asks for.</summary>
internal sealed record Options
{
    public const string Usage = """
        usage: processor [options]
          --workload NAME[,NAME...]  only these (may be repeated); --list names all
          --repeat N                 rounds, 5 unless said; medians are shown
          --scale F                  work as a part of the standard amount, such as 0.1
          --quick                    one round of a quarter of the work
          --ours-only                neither QEMU nor native
          --no-native, --no-qemu     leave one out
          --bits 32                  a 32-bit kernel (686-pae) and 32-bit programs, with qemu-system-i386; boot, shell, gzip and sha256 only.
                                     apt must know i386 (dpkg --add-architecture i386)
          --user-bits 32             32-bit programs on the 64-bit kernel; the same workloads
          --cpus N                   virtual processors, where a workload does not say
          --memory MB                guest memory, 512 unless said
          --model NAME               processor.model of our machine
          --set NAME=VALUE           an advanced setting of our machine (may be repeated)
          --timeout SECONDS          for one workload or boot, 600 unless said
          --cpu-time                 ratios of CPU time instead of elapsed time, for a host that is busy with other things
          --json FILE                results as JSON too
          --console                  shows the guests' consoles on standard error
          --stress MINUTES           instead of workloads: stress-ng (of the host) in a guest with two virtual processors
          --stress-args ARGUMENTS    what it does, "--cpu 2 --vm 2 --vm-bytes 64M --syscall 2" unless said;
                                     with --sequential the minutes are each stressor's
          --stress-on ours|qemu      ours unless said
          --list                     lists the workloads
        """;

    public IReadOnlyList<Workload> Workloads { get; private set; } = Workload.All;
    public int Repeat { get; private set; } = 5;
    public double Scale { get; private set; } = 1;
    public bool Native { get; private set; } = true;
    public bool Qemu { get; private set; } = true;
    public int KernelBits { get; private set; } = 64;
    public int UserBits { get; private set; } = 64;
    public int Processors { get; private set; } = 1;
    public int MemoryMB { get; private set; } = 512;
    public TimeSpan Timeout { get; private set; } = TimeSpan.FromSeconds(600);
    public bool CpuTime { get; private set; }
    public string? JsonPath { get; private set; }
    public bool ShowConsole { get; private set; }
    public double? StressMinutes { get; private set; }
    public string StressArguments { get; private set; } = StressRun.StandardArguments;
    public PlatformKind StressOn { get; private set; } = PlatformKind.Ours;
    public bool List { get; private set; }
    public Dictionary<string, string> Settings { get; } = [];

    /// <exception cref="BenchmarkException">An option is unknown or lacks its value.</exception>
    public static Options Parse(string[] args)
    {
        var options = new Options();
        var names = new List<string>();
        for (int i = 0; i < args.Length; i++)
        {
            string option = args[i];
            string Value() => ++i < args.Length ? args[i] : throw new BenchmarkException($"{option} needs a value.\n{Usage}");
            double Number() => double.TryParse(Value(), NumberStyles.Float, CultureInfo.InvariantCulture, out double number) && number > 0
                ? number : throw new BenchmarkException($"{option} needs a positive number.");
            switch (option)
            {
                case "--workload": names.AddRange(Value().Split(',')); break;
                case "--repeat": options.Repeat = (int)Math.Ceiling(Number()); break;
                case "--scale": options.Scale = Number(); break;
                case "--quick": (options.Repeat, options.Scale) = (1, 0.25); break;
                case "--ours-only": (options.Native, options.Qemu) = (false, false); break;
                case "--no-native": options.Native = false; break;
                case "--no-qemu": options.Qemu = false; break;
                case "--bits": options.KernelBits = options.UserBits = Bits(Value()); break;
                case "--user-bits": options.UserBits = Bits(Value()); break;
                case "--cpus": options.Processors = (int)Number(); break;
                case "--memory": options.MemoryMB = (int)Number(); break;
                case "--model": options.Settings["processor.model"] = Value(); break;
                case "--set": options.Set(Value()); break;
                case "--timeout": options.Timeout = TimeSpan.FromSeconds(Number()); break;
                case "--cpu-time": options.CpuTime = true; break;
                case "--json": options.JsonPath = Value(); break;
                case "--console": options.ShowConsole = true; break;
                case "--stress": options.StressMinutes = Number(); break;
                case "--stress-args": options.StressArguments = Value(); break;
                case "--stress-on":
                    options.StressOn = Value() switch
                    {
                        "ours" => PlatformKind.Ours,
                        "qemu" => PlatformKind.Qemu,
                        string other => throw new BenchmarkException($"--stress-on can be ours or qemu, not '{other}'."),
                    };
                    break;
                case "--list": options.List = true; break;
                default: throw new BenchmarkException($"There is no option {option}.\n{Usage}");
            }
        }

        IReadOnlyList<Workload> known = options.UserBits == 32 ? Workload.OfBusybox : Workload.All;
        options.Workloads = names.Count == 0 ? known : [.. names.Select(name => known.FirstOrDefault(workload => workload.Name == name)
            ?? throw new BenchmarkException($"There is no workload {name}; there are {string.Join(", ", known.Select(workload => workload.Name))}."))];

        return options;
    }

    private static int Bits(string value) => value switch
    {
        "32" => 32,
        "64" => 64,
        _ => throw new BenchmarkException($"Bits can be 32 or 64, not '{value}'."),
    };

    private void Set(string setting)
    {
        int equals = setting.IndexOf('=', StringComparison.Ordinal);
        Settings[equals > 0 ? setting[..equals] : throw new BenchmarkException($"--set needs NAME=VALUE, not '{setting}'.")] = setting[(equals + 1)..];
    }
}
