using System.Diagnostics;
using System.Globalization;
using Hypervisor.Engine.Native.Timing;

namespace Hypervisor.Benchmarks.Scheduler;

/// <summary>The same load as plain threads under Linux' cgroups, version 1: cpu.shares for shares, cpu.cfs_quota_us for limits. They have no reservations.</summary>
internal static class CgroupRun
{
    private const string Controller = "/sys/fs/cgroup/cpu";
    private const int PeriodMicroseconds = 100_000;

    /// <summary>Cgroups can be made here.</summary>
    public static bool IsPossible
    {
        get
        {
            try
            {
                string probe = Path.Combine(Controller, $"hv-bench-{Environment.ProcessId}");
                if (!File.Exists(Path.Combine(Controller, "cpu.shares")))
                {
                    return false;
                }

                Directory.CreateDirectory(probe);
                Directory.Delete(probe);
                return true;
            }
            catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
            {
                return false;
            }
        }
    }

    /// <summary>Processors that each thread had.</summary>
    public static double[] Measure(Scenario scenario, TimeSpan time)
    {
        string root = Path.Combine(Controller, $"hv-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(root);
        if (scenario.BudgetMHz >= 0)
        {
            Limit(root, scenario.BudgetMHz);
        }

        var ended = new ManualResetEventSlim();
        var threads = new List<Thread>();
        int[] ids = new int[scenario.Machines.Count];
        try
        {
            using var ready = new CountdownEvent(ids.Length);
            for (int i = 0; i < ids.Length; i++)
            {
                int index = i;
                string group = Path.Combine(root, $"m{i}");
                Directory.CreateDirectory(group);
                File.WriteAllText(Path.Combine(group, "cpu.shares"), scenario.Machines[i].Shares.ToString(CultureInfo.InvariantCulture));
                if (scenario.Machines[i].LimitMHz is >= 0 and var limit)
                {
                    Limit(group, limit);
                }

                var thread = new Thread(() =>
                {
                    ids[index] = ThreadTime.CurrentThread;
                    File.WriteAllText(Path.Combine(group, "tasks"), ids[index].ToString(CultureInfo.InvariantCulture));
                    ready.Signal();
                    while (!ended.IsSet)
                    {
                        Thread.SpinWait(100);
                    }

                    File.WriteAllText(Path.Combine(Controller, "tasks"), ids[index].ToString(CultureInfo.InvariantCulture));
                });
                threads.Add(thread);
                thread.Start();
            }

            ready.Wait();
            // What starting costs is over by then; the measurement is what happens while this thread sleeps.
            Thread.Sleep(TimeSpan.FromSeconds(1));
            long[] before = [.. ids.Select(ThreadTime.Of)];
            long start = Stopwatch.GetTimestamp();
            Thread.Sleep(time);
            double wall = Stopwatch.GetElapsedTime(start).TotalNanoseconds;
            return [.. ids.Select((id, index) => (ThreadTime.Of(id) - before[index]) / wall)];
        }
        finally
        {
            ended.Set();
            threads.ForEach(static thread => thread.Join());
            foreach (string group in Directory.GetDirectories(root))
            {
                Remove(group);
            }

            Remove(root);
            ended.Dispose();
        }
    }

    private static void Limit(string group, long mhz)
    {
        File.WriteAllText(Path.Combine(group, "cpu.cfs_period_us"), PeriodMicroseconds.ToString(CultureInfo.InvariantCulture));
        File.WriteAllText(Path.Combine(group, "cpu.cfs_quota_us"), (mhz * PeriodMicroseconds / Scenario.ProcessorMHz).ToString(CultureInfo.InvariantCulture));
    }

    // Threads that the runtime made meanwhile are in the group of the thread that caused them.
    private static void Remove(string group)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                foreach (string task in File.ReadAllLines(Path.Combine(group, "tasks")))
                {
                    File.WriteAllText(Path.Combine(Controller, "tasks"), task);
                }

                Directory.Delete(group);
                return;
            }
            catch (IOException) when (attempt < 100)
            {
                // A group is busy until the kernel has let its last thread go, and nothing tells when.
                Thread.Sleep(20);
            }
        }
    }
}
