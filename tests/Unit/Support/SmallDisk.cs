using System.Diagnostics;
using System.Globalization;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A file system in memory of a given size, mounted by a child process that keeps it to itself; it ends with the child.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly Process _holder;

    public SmallDisk(int bytes)
    {
        string size = bytes.ToString(CultureInfo.InvariantCulture);
        _holder = Process.Start(new ProcessStartInfo("unshare", ["-rm", "sh", "-c", $"mount -t tmpfs -o size={size} none /mnt && echo ready && exec cat"])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        if (_holder.StandardOutput.ReadLine() != "ready")
        {
            string error = _holder.StandardError.ReadToEnd();
            Dispose();
            throw new IOException($"No file system was mounted: {error}");
        }
    }

    /// <summary>The file system's root, seen through the child.</summary>
    public string Folder => $"/proc/{_holder.Id.ToString(CultureInfo.InvariantCulture)}/root/mnt";

    public void Dispose()
    {
        _holder.StandardInput.Close();
        _holder.WaitForExit();
        _holder.Dispose();
    }
}
