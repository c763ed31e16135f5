using System.ComponentModel;
using System.Diagnostics;
using System.Security.Cryptography;
using Hypervisor.Engine.Boot;
using Hypervisor.Shell;

namespace Hypervisor.Benchmarks.Processor;

/// <summary>What runs in the guests and natively: our C programs, linked statically, and Debian's static busybox, with the kernel to boot.</summary>
internal sealed class GuestTools
{
    private const uint Executable = 0x1ED;
    private const string Busybox = "busybox";

    // The workloads are in one program, so that the initial RAM disk stays small.
    private static readonly string[] Programs = ["bench", "tiny", Busybox], Scripts = ["agent.sh", "loop.sh"];

    private readonly bool _workloads;

    private GuestTools(string folder, string kernel, bool workloads)
    {
        Folder = folder;
        Kernel = kernel;
        _workloads = workloads;
    }

    /// <summary>Folder with all programs and scripts; workloads run natively in copies of it.</summary>
    public string Folder { get; }

    public string Kernel { get; }

    /// <summary>Compiles and fetches what is not in the cache yet.</summary>
    /// <param name="workloads">With our programs, which takes a compiler; commands are not timed in the guest otherwise.</param>
    /// <param name="kernelBits">64, or 32 for a kernel of that width.</param>
    /// <param name="userBits">64, or 32 for such programs.</param>
    /// <exception cref="BenchmarkException">There is no compiler, or it refuses.</exception>
    public static GuestTools Prepare(bool workloads, int kernelBits, int userBits)
    {
        if (!DebianPackages.IsSupported(out string reason))
        {
            throw new BenchmarkException(reason);
        }

        var packages = new DebianPackages(DebianPackages.DefaultFolder, Console.Error.WriteLine);
        string kernelPackage = packages.Fetch(kernelBits == 32 ? packages.ResolveKernel("linux-image-686-pae:i386")
            : packages.FindFetchedCloudKernel() ?? packages.ResolveCloudKernel());
        string busyboxPackage = packages.Fetch(userBits == 32 ? "busybox-static:i386" : "busybox-static");
        string sources = Path.Combine(AppContext.BaseDirectory, "guest");
        string folder = Path.Combine(DebianPackages.DefaultFolder, "..", "benchmarks", Hash(sources) + (workloads ? "" : "-plain") + (userBits == 32 ? "-32" : ""));
        if (!File.Exists(Path.Combine(folder, Busybox)))
        {
            Make(sources, Directory.CreateDirectory(folder).FullName, busyboxPackage, workloads);
        }

        return new GuestTools(Path.GetFullPath(folder), QuickstartInitramfs.FindKernel(kernelPackage), workloads);
    }

    /// <summary>The initial RAM disk: the programs in <c>/bench</c> and an init that listens on the console.</summary>
    /// <param name="installed">Programs of the host to take along, with their shared libraries.</param>
    public byte[] BuildInitrd(params ReadOnlySpan<string> installed)
    {
        var archive = new CpioArchive();
        foreach (string folder in (ReadOnlySpan<string>)["bench", "bin", "dev", "proc", "sys", "tmp"])
        {
            archive.AddDirectory(folder);
        }

        archive.AddCharacterDevice("dev/console", 5, 1);
        archive.AddFile("init", File.ReadAllBytes(Path.Combine(Folder, "init.sh")), Executable);
        foreach (string name in (ReadOnlySpan<string>)[.. _workloads ? Programs : [Busybox], .. Scripts])
        {
            archive.AddFile($"bench/{name}", File.ReadAllBytes(Path.Combine(Folder, name)), Executable);
        }

        var folders = new HashSet<string>();
        foreach (string program in installed)
        {
            archive.AddFile($"bench/{Path.GetFileName(program)}", File.ReadAllBytes(program), Executable);
            foreach (string library in SharedLibraries.Of(program))
            {
                AddParents(archive, folders, library);
                archive.AddFile(library[1..], File.ReadAllBytes(library), Executable);
            }
        }

        return archive.ToArray();
    }

    private static void AddParents(CpioArchive archive, HashSet<string> added, string path)
    {
        for (int slash = path.IndexOf('/', 1); slash > 0; slash = path.IndexOf('/', slash + 1))
        {
            if (added.Add(path[1..slash]))
            {
                archive.AddDirectory(path[1..slash]);
            }
        }
    }

    private static void Make(string sources, string folder, string busyboxPackage, bool workloads)
    {
        if (workloads)
        {
            CompileWorkloads(sources, folder);
        }

        foreach (string script in Directory.GetFiles(sources, "*.sh"))
        {
            File.Copy(script, Path.Combine(folder, Path.GetFileName(script)), overwrite: true);
        }

        // Last, as its presence says that all is there.
        File.Copy(QuickstartInitramfs.FindBusybox(busyboxPackage), Path.Combine(folder, Busybox), overwrite: true);
    }

    private static void CompileWorkloads(string sources, string folder)
    {
        string[] programs = [.. Directory.GetFiles(sources, "*.c").Where(file => Path.GetFileName(file) != "tiny.c").Order(StringComparer.Ordinal)];
        Compile(["-O2", "-static", "-o", Path.Combine(folder, "bench"), .. programs, "-lm"]);
        Compile(["-O2", "-static", "-nostdlib", "-o", Path.Combine(folder, "tiny"), Path.Combine(sources, "tiny.c")]);
    }

    private static void Compile(string[] arguments)
    {
        try
        {
            using var compiler = Process.Start("cc", arguments);
            compiler.WaitForExit();
            if (compiler.ExitCode != 0)
            {
                throw new BenchmarkException("The C compiler could not build the workloads; they need a static C library (Debian: apt-get install gcc libc6-dev).");
            }
        }
        catch (Win32Exception)
        {
            throw new BenchmarkException("There is no C compiler (cc) to build the workloads with (Debian: apt-get install gcc libc6-dev).");
        }
    }

    // Changed sources are another folder of the cache.
    private static string Hash(string sources)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string file in Directory.GetFiles(sources).Order(StringComparer.Ordinal))
        {
            hash.AppendData(File.ReadAllBytes(file));
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset())[..16];
    }
}
