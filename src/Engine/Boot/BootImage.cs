using Hypervisor.Engine.Machines;

namespace Hypervisor.Engine.Boot;

/// <summary>
/// A kernel image that is loaded directly, without firmware. Made by <see cref="Open"/>, which knows the format by the image's own
/// magic; loads again at every reset of the machine.
/// </summary>
public abstract class BootImage : IDisposable
{
    private const int ProbeBytes = 0x9000;

    private protected BootImage(ImageFile file) => File = file;

    /// <summary>Name of the format, for messages.</summary>
    public abstract string Format { get; }

    /// <summary>The file.</summary>
    public ImageFile File { get; }

    /// <summary>Loads the image and what belongs to it into memory.</summary>
    /// <returns>How processor 0 is to start.</returns>
    /// <exception cref="MachineException">It does not fit, or the file is damaged; the message names the file and the remedy.</exception>
    public abstract BootEntry Load(BootRequest request);

    /// <summary>Opens an image.</summary>
    /// <exception cref="MachineException">The file is missing or of no format that can be booted directly; the message says what it is, where it can be told.</exception>
    public static BootImage Open(string path)
    {
        var file = ImageFile.Open(path, "kernel");
        try
        {
            byte[] start = new byte[(int)Math.Min(file.Length, ProbeBytes)];
            file.ReadExactly(0, start);
            return (BootImage?)LinuxImage.TryOpen(file, start)
                ?? (BootImage?)PvhImage.TryOpen(file, start)
                ?? (BootImage?)MultibootImage.TryOpen(file, start)
                ?? throw new MachineException(ForeignFormats.Describe(file, start));
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        File.Dispose();
        GC.SuppressFinalize(this);
    }
}
