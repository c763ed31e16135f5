using System.Globalization;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Shell;

/// <summary>What may stand after <c>hv quickstart</c>, with New-VM's names.</summary>
internal sealed record QuickstartOptions
{
    /// <summary>One line.</summary>
    public const string Usage = "hv quickstart [-Backend Auto|Kvm|Whp|Software] [-MemoryMB 512] [-NumCpu 1] [-KernelPath file [-InitrdPath file]]";

    public BackendKind Backend { get; private init; } = BackendKind.Auto;

    public int MemoryMB { get; private init; } = 512;

    public int NumCpu { get; private init; } = 1;

    public string? KernelPath { get; private init; }

    public string? InitrdPath { get; private init; }

    /// <summary>Reads the words.</summary>
    /// <exception cref="QuickstartException">An unknown word or value; the message shows the usage.</exception>
    public static QuickstartOptions Parse(IReadOnlyList<string> words)
    {
        var options = new QuickstartOptions();
        for (int i = 0; i < words.Count; i += 2)
        {
            string name = words[i].TrimStart('-').ToUpperInvariant();
            string value = i + 1 < words.Count ? words[i + 1] : throw new QuickstartException($"{words[i]} needs a value. Usage: {Usage}");
            options = name switch
            {
                "BACKEND" when Enum.TryParse(value, ignoreCase: true, out BackendKind backend) && Enum.IsDefined(backend) => options with { Backend = backend },
                "MEMORYMB" => options with { MemoryMB = Number(value) },
                "NUMCPU" => options with { NumCpu = Number(value) },
                "KERNELPATH" => options with { KernelPath = Path.GetFullPath(value) },
                "INITRDPATH" => options with { InitrdPath = Path.GetFullPath(value) },
                _ => throw new QuickstartException($"'{words[i]} {value}' is not understood. Usage: {Usage}"),
            };
        }

        return options;
    }

    private static int Number(string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
            ? number
            : throw new QuickstartException($"'{text}' is not a number. Usage: {Usage}");
}
