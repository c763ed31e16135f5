namespace Hypervisor.Tests.Unit.Support;

/// <summary>A test on a file system of a few pages, which <see cref="SmallDisk"/> mounts where the host lets users do so.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class SmallDiskFactAttribute : FactAttribute
{
    private static readonly Lazy<bool> Possible = new(IsPossible);

    public SmallDiskFactAttribute() => Skip = Possible.Value ? null : "This host does not let a user mount a file system of their own (unshare -rm).";

    private static bool IsPossible()
    {
        if (!OperatingSystem.IsLinux())
        {
            return false;
        }

        try
        {
            using var disk = new SmallDisk(4096);
            return Directory.Exists(disk.Folder);
        }
        catch (Exception exception) when (exception is System.ComponentModel.Win32Exception or IOException)
        {
            return false;
        }
    }
}
