using Hypervisor.Shell;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>
/// A stock Debian kernel and an initial RAM disk with busybox, fetched through apt into the cache that quickstart uses too, and made once
/// a test run.
/// </summary>
internal static class GuestAssets
{
    private static readonly Lazy<(string Kernel, string Initrd)> Linux = new(MakeLinux);
    private static readonly Lazy<string> MemtestImage = new(static () => FetchFile("memtest86+", "boot", "memtest86+x64.bin"));
    private static readonly Lazy<string> MemtestImage32 = new(static () => FetchFile("memtest86+", "boot", "memtest86+ia32.bin"));
    private static readonly Lazy<string> SeaBiosImage = new(static () => FetchFile("seabios", "usr", "share", "seabios", "bios-256k.bin"));

    /// <summary>The stock kernel's image.</summary>
    public static string Kernel => Linux.Value.Kernel;

    /// <summary>An initial RAM disk that prints <see cref="QuickstartInitramfs.ReadyMarker"/> and gives a shell.</summary>
    public static string Initrd => Linux.Value.Initrd;

    /// <summary>The kernel of memtest86+ for 64-bit processors.</summary>
    public static string Memtest => MemtestImage.Value;

    /// <summary>The same for processors of 32 bits.</summary>
    public static string Memtest32 => MemtestImage32.Value;

    /// <summary>SeaBIOS in its 256 KB build.</summary>
    public static string SeaBios => SeaBiosImage.Value;

    /// <summary>Why there is no Linux to boot on this host; null where there is.</summary>
    public static string? WhyNoLinux() => WhyNot(() => Linux.Value.Kernel);

    /// <summary>Why there is no memtest86+ on this host; null where there is.</summary>
    public static string? WhyNoMemtest() => WhyNot(() => Memtest);

    /// <summary>Why there is no SeaBIOS on this host; null where there is.</summary>
    public static string? WhyNoSeaBios() => WhyNot(() => SeaBios);

    private static string? WhyNot(Func<string> fetch)
    {
        if (!DebianPackages.IsSupported(out string reason))
        {
            return reason;
        }

        try
        {
            _ = fetch();
            return null;
        }
        catch (QuickstartException error)
        {
            return error.Message;
        }
    }

    private static string FetchFile(string package, params ReadOnlySpan<string> path)
    {
        string image = Path.Combine([new DebianPackages(DebianPackages.DefaultFolder, _ => { }).Fetch(package), .. path]);
        return File.Exists(image) ? image : throw new QuickstartException($"The package {package} has no '{image}'.");
    }

    private static (string Kernel, string Initrd) MakeLinux()
    {
        var packages = new DebianPackages(DebianPackages.DefaultFolder, _ => { });
        string kernelPackage = packages.Fetch(packages.ResolveCloudKernel());
        string busyboxPackage = packages.Fetch("busybox-static");
        string initrd = Path.Combine(Directory.CreateTempSubdirectory("linux").FullName, "initrd");
        File.WriteAllBytes(initrd, QuickstartInitramfs.Build(busyboxPackage, kernelPackage));
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(Path.GetDirectoryName(initrd)!, recursive: true);
        return (QuickstartInitramfs.FindKernel(kernelPackage), initrd);
    }
}
