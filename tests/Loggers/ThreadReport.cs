using Microsoft.Diagnostics.Runtime;

namespace Hypervisor.Tests.Loggers;

/// <summary>Where the threads of a process are, by its memory alone: the process need not be able to answer.</summary>
internal static class ThreadReport
{
    private const int Frames = 24;

    /// <summary>Stops the process for a moment and writes a paragraph for each thread that may be what the others wait for.</summary>
    /// <param name="process">Its identity.</param>
    /// <param name="writer">Takes the text.</param>
    public static void Write(int process, TextWriter writer)
    {
        WriteKernelView(process, writer);
        try
        {
            using var target = DataTarget.AttachToProcess(process, suspend: true);
            foreach (var version in target.ClrVersions)
            {
                // What understands the runtime stands beside it; the library alone would look for it elsewhere, by versions that it cannot read here.
                string access = Path.Combine(Path.GetDirectoryName(version.ModuleInfo.FileName)!, "libmscordaccore.so");
                using var runtime = version.CreateRuntime(access, ignoreMismatch: true);
                foreach (var thread in runtime.Threads.Where(thread => thread.IsAlive))
                {
                    string[] frames = [.. thread.EnumerateStackTrace().Select(frame => frame.Method?.Signature ?? "").Where(Tells).Take(Frames)];

                    // One that is in managed code keeps the others from going on when garbage is collected, whatever code that is.
                    int ours = Array.FindLastIndex(frames, frame => frame.StartsWith("Hypervisor", StringComparison.Ordinal));
                    if (ours >= 0 || thread.GCMode == GCMode.Cooperative)
                    {
                        writer.WriteLine($"Thread {thread.OSThreadId}, {thread.GCMode}, state {(int)thread.State:x}");
                        writer.WriteLine(string.Join(Environment.NewLine, frames[..(ours >= 0 ? ours + 1 : frames.Length)].Select(frame => $"    {frame}")));
                    }
                }
            }
        }
        catch (Exception error) when (error is ClrDiagnosticsException or IOException or InvalidOperationException)
        {
            writer.WriteLine($"Its threads cannot be read: {error.Message}");
        }
    }

    // The runner's own frames stand above every test, those of the runtime's state machines between all others.
    private static bool Tells(string frame) =>
        frame.Length > 0 && !frame.StartsWith("Xunit.", StringComparison.Ordinal) && !frame.StartsWith("System.Runtime.CompilerServices.Async", StringComparison.Ordinal);

    // What each waits for in the kernel: a page of guest memory, a KVM run, a lock.
    private static void WriteKernelView(int process, TextWriter writer)
    {
        foreach (string task in Directory.EnumerateDirectories($"/proc/{process}/task"))
        {
            try
            {
                string state = File.ReadAllText(Path.Combine(task, "stat"));
                writer.WriteLine(
                    $"Thread {Path.GetFileName(task)}: {File.ReadAllText(Path.Combine(task, "comm")).Trim()}, {state[(state.LastIndexOf(')') + 2)..][..1]}, {File.ReadAllText(Path.Combine(task, "wchan"))}");
            }
            catch (IOException)
            {
                // It has ended meanwhile.
            }
        }
    }
}
