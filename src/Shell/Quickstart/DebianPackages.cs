using System.Diagnostics;
using System.Text.RegularExpressions;

namespace Hypervisor.Shell;

/// <summary>
/// Fetches packages of Debian (or a derivative) with the machine's own apt, without root and without installing anything: where apt has no
/// package lists yet it keeps private ones beside the downloads.
/// </summary>
internal sealed partial class DebianPackages
{
    private readonly string _folder;
    private readonly Action<string> _progress;
    private readonly CancellationToken _cancellation;
    private string[] _aptOptions = [];

    /// <param name="folder">Cache folder, made when it is missing.</param>
    /// <param name="progress">Told in a few words what is being done.</param>
    /// <param name="cancellation">Ends the tools that are running.</param>
    /// <exception cref="QuickstartException">The folder cannot be made.</exception>
    public DebianPackages(string folder, Action<string> progress, CancellationToken cancellation = default)
    {
        _cancellation = cancellation;
        _folder = folder;
        _progress = progress;
        try
        {
            Directory.CreateDirectory(folder);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new QuickstartException($"The cache folder {folder} cannot be made: {exception.Message} XDG_CACHE_HOME names another place for it.");
        }
    }

    /// <summary>The cache that quickstart, tests and benchmarks share.</summary>
    public static string DefaultFolder
    {
        get
        {
            string? cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
            string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
            string root = !string.IsNullOrEmpty(cache) ? cache
                : home.Length > 0 ? Path.Combine(home, ".cache")
                // A user without a home folder, such as nobody.
                : Path.Combine(Path.GetTempPath(), $"cache-{Environment.UserName}");
            return Path.Combine(root, "hypervisor", "debian");
        }
    }

    /// <summary>The tools are there; otherwise the reason why not.</summary>
    public static bool IsSupported(out string reason)
    {
        foreach (string tool in (ReadOnlySpan<string>)["apt-get", "apt-cache", "dpkg-deb"])
        {
            if (FindOnPath(tool) is null)
            {
                reason = $"{tool} is not on the PATH: packages come through apt, so this needs Debian, Ubuntu or a derivative.";
                return false;
            }
        }

        reason = "";
        return true;
    }

    /// <summary>The cloud kernel package that was fetched last; null when none was.</summary>
    public string? FindFetchedCloudKernel() => Directory.EnumerateDirectories(_folder, "linux-image-*-cloud-amd64")
        .MaxBy(Directory.GetLastWriteTimeUtc) is { } folder ? Path.GetFileName(folder) : null;

    /// <summary>
    /// The newest concrete kernel package behind the meta package <c>linux-image-cloud-amd64</c>.
    /// </summary>
    /// <exception cref="QuickstartException">apt knows no such package or cannot be reached.</exception>
    public string ResolveCloudKernel() => ResolveKernel("linux-image-cloud-amd64");

    /// <summary>The newest concrete kernel package behind a meta package, whose name may end with an architecture (<c>:i386</c>).</summary>
    /// <exception cref="QuickstartException">apt knows no such package or cannot be reached.</exception>
    public string ResolveKernel(string metaPackage)
    {
        _progress("Asking apt for the kernel");
        EnsureLists(metaPackage);
        string depends = Run("apt-cache", [.. _aptOptions, "depends", metaPackage]);
        Match match = KernelDependency().Match(depends);
        return match.Success
            ? match.Groups[1].Value
            : throw new QuickstartException($"apt knows no kernel behind {metaPackage}; pass a kernel with -KernelPath instead.");
    }

    /// <summary>
    /// Downloads a package unless it is there already, unpacks it and returns the folder with its files.
    /// </summary>
    /// <exception cref="QuickstartException">The package cannot be had; the message carries apt's own words.</exception>
    public string Fetch(string package)
    {
        string unpacked = Path.Combine(_folder, package);
        if (Directory.Exists(unpacked))
        {
            return unpacked;
        }

        EnsureLists(package);
        string work = Path.Combine(_folder, $".{package}.{Environment.ProcessId}");
        Directory.CreateDirectory(work);
        try
        {
            _progress($"Downloading {package} through apt");
            Run("apt-get", [.. _aptOptions, "download", "-q", package], work);
            string archive = Directory.EnumerateFiles(work, "*.deb").FirstOrDefault()
                ?? throw new QuickstartException($"apt-get download {package} left no file behind.");
            _progress($"Unpacking {package}");
            string files = Path.Combine(work, "files");
            Run("dpkg-deb", ["-x", archive, files]);
            try
            {
                // The rename publishes the whole package at once; another process may have been quicker.
                Directory.Move(files, unpacked);
            }
            catch (IOException) when (Directory.Exists(unpacked))
            {
                _progress($"{package} was fetched by another process meanwhile");
            }
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }

        return unpacked;
    }

    private void EnsureLists(string package)
    {
        if (_aptOptions.Length > 0 || IsKnown(package, []))
        {
            return;
        }

        // A fresh machine or container has no package lists, and only root may write the system's: private lists serve everyone.
        string state = Path.Combine(_folder, "apt");
        Directory.CreateDirectory(Path.Combine(state, "lists", "partial"));
        Directory.CreateDirectory(Path.Combine(state, "cache", "archives", "partial"));
        string[] options =
        [
            "-o", $"Dir::State::lists={state}/lists",
            "-o", $"Dir::Cache={state}/cache",
            "-o", "Debug::NoLocking=true",
            .. Environment.IsPrivilegedProcess ? (ReadOnlySpan<string>)["-o", "APT::Sandbox::User=root"] : [],
        ];
        if (!IsKnown(package, options))
        {
            _progress("Fetching package lists through apt");
            Run("apt-get", [.. options, "-q", "update"]);
        }

        _aptOptions = options;
    }

    private bool IsKnown(string package, string[] options) =>
        TryRun("apt-cache", [.. options, "show", "--no-all-versions", package], null, out string output, out _) && output.Contains("Filename:", StringComparison.Ordinal);

    private static string? FindOnPath(string tool) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries)
            .Select(folder => Path.Combine(folder, tool)).FirstOrDefault(File.Exists);

    private string Run(string tool, string[] arguments, string? folder = null) =>
        TryRun(tool, arguments, folder, out string output, out string errors)
            ? output
            : throw new QuickstartException($"{tool} failed: {LastLines(errors.Length > 0 ? errors : output)}");

    private bool TryRun(string tool, string[] arguments, string? folder, out string output, out string errors)
    {
        var start = new ProcessStartInfo(tool, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            RedirectStandardInput = true,
            WorkingDirectory = folder ?? Environment.CurrentDirectory,
        };
        start.Environment["LC_ALL"] = "C";
        start.Environment["DEBIAN_FRONTEND"] = "noninteractive";
        using Process process = Process.Start(start)!;
        process.StandardInput.Close();
        using CancellationTokenRegistration end = _cancellation.Register(() => process.Kill(entireProcessTree: true));
        Task<string> errorText = process.StandardError.ReadToEndAsync();
        output = process.StandardOutput.ReadToEnd();
        errors = errorText.GetAwaiter().GetResult();
        process.WaitForExit();
        _cancellation.ThrowIfCancellationRequested();
        return process.ExitCode == 0;
    }

    private static string LastLines(string text) =>
        string.Join(" ", text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).TakeLast(3));

    [GeneratedRegex(@"Depends:\s+(linux-image-[0-9][^\s]*)")]
    private static partial Regex KernelDependency();
}
