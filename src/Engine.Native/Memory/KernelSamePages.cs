using System.Globalization;
using System.Text;

namespace Hypervisor.Engine.Native.Memory;

/// <summary>
/// The kernel's search for equal pages among the memory that processes offer it (KSM; Documentation/admin-guide/mm/ksm.rst). It is of
/// the whole host and its administrator's: read here, never changed. Linux; elsewhere there is none.
/// </summary>
public static class KernelSamePages
{
    private const string Folder = "/sys/kernel/mm/ksm/";

    /// <summary>The kernel looks for equal pages now.</summary>
    public static bool IsRunning => Read("run") == 1;

    /// <summary>Frames that the kernel made of equal pages, and the pages that use them; of all processes.</summary>
    public static (long Frames, long Pages) Counters
    {
        get
        {
            // pages_sharing counts those beyond the first of each frame.
            long frames = Math.Max(0, Read("pages_shared"));
            return (frames, frames + Math.Max(0, Read("pages_sharing")));
        }
    }

    // -1 where there is no such file.
    private static long Read(string name)
    {
        if (!OperatingSystem.IsLinux())
        {
            return -1;
        }

        try
        {
            using var file = File.OpenHandle(Folder + name);
            Span<byte> text = stackalloc byte[32];
            return long.TryParse(Encoding.ASCII.GetString(text[..RandomAccess.Read(file, text, 0)]), NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture, out long value) ? value : -1;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return -1;
        }
    }
}
