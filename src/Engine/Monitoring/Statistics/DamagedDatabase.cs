using System.Globalization;
using Hypervisor.Engine.Inventory;

namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>Sets a damaged database aside under a name that tells when, so that nothing is lost and a new one can be begun.</summary>
internal static class DamagedDatabase
{
    private const string Prefix = "statistics.damaged-";
    private static readonly TimeSpan LockPatience = TimeSpan.FromSeconds(5);

    /// <summary>Takes the right to make the database or to set it aside.</summary>
    /// <exception cref="IOException">Another process has it for too long.</exception>
    public static FileLock Lock(HostFolder folder) => FileLock.TryTake(folder.StatisticsLock, LockPatience)
        ?? throw new IOException($"Another process has held '{folder.StatisticsLock}' for {LockPatience.TotalSeconds:0} seconds.");

    /// <summary>Files that were set aside. A process whose list is another than this one has its connection to one of them.</summary>
    public static int CountAside(HostFolder folder) => Directory.GetFiles(folder.Root, Prefix + "*").Length;

    /// <summary>Moves the database away with what belongs to it; hold the lock, and have it closed. Returns its new path.</summary>
    public static string SetAside(HostFolder folder, DateTimeOffset now)
    {
        string name = Prefix + now.UtcDateTime.ToString("yyyyMMdd-HHmmss", CultureInfo.InvariantCulture);
        string aside = Path.Combine(folder.Root, name + ".db");
        for (int i = 2; File.Exists(aside); i++)
        {
            aside = Path.Combine(folder.Root, string.Create(CultureInfo.InvariantCulture, $"{name}-{i}.db"));
        }

        File.Move(folder.Statistics, aside);
        foreach (string suffix in (string[])["-wal", "-shm"])
        {
            // The write-ahead log goes with its database: with another one it would be taken for that one's.
            if (File.Exists(folder.Statistics + suffix))
            {
                File.Move(folder.Statistics + suffix, aside + suffix, overwrite: true);
            }
        }

        return aside;
    }
}
