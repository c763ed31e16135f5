using System.Diagnostics;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>The kernel's search for equal pages (KSM), on at full speed or off as the test wants; after disposal it is as it was.</summary>
internal sealed class KernelMerging : IDisposable
{
    private const string Folder = "/sys/kernel/mm/ksm/", Run = "run", On = "1", Off = "0";

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private static readonly (string Name, string Value)[] Wanted = [("pages_to_scan", "5000"), ("sleep_millisecs", "5"), ("smart_scan", "0"), (Run, Off)];

    private readonly List<(string Name, string Value)> _before = [];
    private readonly FileStream _lock;

    public KernelMerging(bool isOn = true)
    {
        // It is of the whole host, and the tests of another process may be at it.
        _lock = Lock();
        foreach (var (name, value) in Wanted)
        {
            // Not every kernel has every setting.
            if (File.Exists(Folder + name))
            {
                _before.Add((name, File.ReadAllText(Folder + name)));
                File.WriteAllText(Folder + name, value);
            }
        }

        Turn(isOn);
    }

    public static bool IsPossible
    {
        get
        {
            if (!OperatingSystem.IsLinux() || !File.Exists(Folder + Run))
            {
                return false;
            }

            try
            {
                // Opened and not written: only root may.
                using var file = File.OpenHandle(Folder + Run, access: FileAccess.Write);
                return true;
            }
            catch (UnauthorizedAccessException)
            {
                return false;
            }
            catch (IOException)
            {
                // A file system that is mounted for reading only, as in a container.
                return false;
            }
        }
    }

    /// <summary>Turns it on or off. What is merged stays so.</summary>
    public static void Turn(bool on) => File.WriteAllText(Folder + Run, on ? On : Off);

    public void Dispose()
    {
        foreach (var (name, value) in _before)
        {
            File.WriteAllText(Folder + name, value);
        }

        _lock.Dispose();
    }

    private static FileStream Lock()
    {
        string path = Path.Combine(Path.GetTempPath(), "hypervisor-tests-ksm");
        for (var start = Stopwatch.StartNew(); ;)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (start.Elapsed < Patience)
            {
                // Another process of tests has the lock, and tells nobody when it lets go.
                Thread.Sleep(20);
            }
        }
    }
}
