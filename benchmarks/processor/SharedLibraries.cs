using System.Diagnostics;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>Files that an installed program of the host needs in a guest.</summary>
internal static class SharedLibraries
{
    /// <summary>The program's path on the host.</summary>
    /// <exception cref="BenchmarkException">It is not installed.</exception>
    public static string FindProgram(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists)
            ?? throw new BenchmarkException($"{name} is not installed (Debian: apt-get install {name}).");

    /// <summary>Absolute paths of its shared libraries and of its loader, as ldd finds them.</summary>
    public static IEnumerable<string> Of(string program)
    {
        using Process ldd = Process.Start(new ProcessStartInfo("ldd", [program]) { RedirectStandardOutput = true })!;
        string output = ldd.StandardOutput.ReadToEnd();
        ldd.WaitForExit();

        // "libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x…)", the loader without an arrow, and the kernel's own without a path.
        return output.Split('\n').Select(line => line.Split("=>")[^1].Trim().Split(' ')[0]).Where(path => path.StartsWith('/')).Distinct();
    }
}
