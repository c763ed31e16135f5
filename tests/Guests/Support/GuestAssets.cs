using Hypervisor.Shell;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>
/// A stock Debian kernel and an initial RAM disk with busybox, fetched through apt into the cache that quickstart uses too, and made once
/// a test run.
/// </summary>
internal static class GuestAssets
{
    private static readonly Lazy<(string Kernel, string Initrd)> Linux = new(MakeLinux);

    /// <summary>The stock kernel's image.</summary>
    public static string Kernel => Linux.Value.Kernel;

    /// <summary>An initial RAM disk that prints <see cref="QuickstartInitramfs.ReadyMarker"/> and gives a shell.</summary>
    public static string Initrd => Linux.Value.Initrd;

    /// <summary>Why there is no Linux to boot on this host; null where there is.</summary>
    public static string? WhyNoLinux()
    {
        if (!DebianPackages.IsSupported(out string reason))
        {
            return reason;
        }

        try
        {
            _ = Linux.Value;
            return null;
        }
        catch (QuickstartException error)
        {
            return error.Message;
        }
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
