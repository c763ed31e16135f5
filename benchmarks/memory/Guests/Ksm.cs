using System.Globalization;

namespace Hypervisor.Benchmarks.Memory.Guests;

/// <summary>The kernel's merging of equal pages, switched on while this lives. Needs root.</summary>
internal sealed class Ksm : IDisposable
{
    private const string Folder = "/sys/kernel/mm/ksm/";

    private readonly string _run = Read("run"), _pages = Read("pages_to_scan");

    public Ksm(int pages)
    {
        Write("pages_to_scan", pages.ToString(CultureInfo.InvariantCulture));
        Write("run", "1");
    }

    /// <summary>MB that merging saves.</summary>
    public static double SavedMB => long.Parse(Read("pages_sharing"), CultureInfo.InvariantCulture) * 4096.0 / (1 << 20);

    public void Dispose()
    {
        // 2 takes what is merged apart.
        Write("run", _run == "0" ? "2" : _run);
        Write("run", _run);
        Write("pages_to_scan", _pages);
    }

    private static string Read(string name) => File.ReadAllText(Folder + name).Trim();

    private static void Write(string name, string value) => File.WriteAllText(Folder + name, value);
}
