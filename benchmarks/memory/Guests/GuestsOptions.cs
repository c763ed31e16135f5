using System.Globalization;

namespace Hypervisor.Benchmarks.Memory.Guests;

/// <summary>What the benchmark of guests runs.</summary>
internal sealed record GuestsOptions
{
    /// <summary>Guests.</summary>
    public int Guests { get; private init; } = 8;

    /// <summary>Memory of each, MB.</summary>
    public int MemoryMB { get; private init; } = 512;

    /// <summary>Host memory for ours, MB.</summary>
    public int BudgetMB { get; private init; } = 1536;

    /// <summary>Part of its memory that each guest fills, its kernel included, %.</summary>
    public int LoadPercent { get; private init; } = 80;

    /// <summary>Seconds between filling and measuring, for scanners of equal pages.</summary>
    public int SettleSeconds { get; private init; } = 60;

    /// <summary>Times that each guest reads what it works on.</summary>
    public int Rounds { get; private init; } = 2;

    /// <summary>Pages that KSM looks at in 20 ms; 100 is the kernel's own number.</summary>
    public int KsmPages { get; private init; } = 100;

    /// <summary>Leaves QEMU out.</summary>
    public bool OursOnly { get; private init; }

    /// <summary>Reads the command line; null, with a message printed, when it says nonsense.</summary>
    public static GuestsOptions? Parse(ReadOnlySpan<string> arguments)
    {
        var options = new GuestsOptions();
        for (int i = 0; i < arguments.Length; i++)
        {
            if (arguments[i] == "--ours-only")
            {
                options = options with { OursOnly = true };
                continue;
            }

            if (i + 1 >= arguments.Length || !int.TryParse(arguments[i + 1], NumberStyles.None, CultureInfo.InvariantCulture, out int value) || value == 0)
            {
                return Usage(arguments[i]);
            }

            GuestsOptions? changed = arguments[i++] switch
            {
                "--guests" => options with { Guests = value },
                "--memory" => options with { MemoryMB = value },
                "--budget" => options with { BudgetMB = value },
                "--load" => options with { LoadPercent = value },
                "--settle" => options with { SettleSeconds = value },
                "--rounds" => options with { Rounds = value },
                "--ksm-pages" => options with { KsmPages = value },
                var other => Usage(other),
            };
            if (changed is null)
            {
                return null;
            }

            options = changed;
        }

        return options;
    }

    private static GuestsOptions? Usage(string what)
    {
        Console.Error.WriteLine($"'{what}'? usage: memory guests [--guests 8] [--memory MB] [--budget MB] [--load PERCENT] [--settle SECONDS] [--rounds N] [--ksm-pages N] [--ours-only]");
        return null;
    }
}
