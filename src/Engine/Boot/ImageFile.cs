using System.Buffers.Binary;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Microsoft.Win32.SafeHandles;

namespace Hypervisor.Engine.Boot;

/// <summary>
/// A kernel, initial RAM disk or firmware image on the host. It stays open as long as the machine runs, so that a reset finds the same
/// bytes even when a package upgrade has replaced the file.
/// </summary>
public sealed class ImageFile : IDisposable
{
    private readonly SafeFileHandle _handle;

    private ImageFile(string path, SafeFileHandle handle, long length)
    {
        Path = path;
        _handle = handle;
        Length = length;
    }

    /// <summary>Path as it was given.</summary>
    public string Path { get; }

    /// <summary>Length in bytes when it was opened.</summary>
    public long Length { get; }

    /// <summary>Opens a file for reading.</summary>
    /// <param name="path">Path on the host.</param>
    /// <param name="role">What the file is to the machine, for messages: "kernel", "initial RAM disk".</param>
    /// <exception cref="MachineException">It is missing, not permitted, a directory or empty.</exception>
    public static ImageFile Open(string path, string role)
    {
        if (Directory.Exists(path))
        {
            throw new MachineException($"The {role} '{path}' is a directory; name the file in it.");
        }

        SafeFileHandle handle;
        try
        {
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new MachineException($"The {role} '{path}' does not exist.", error);
        }
        catch (UnauthorizedAccessException error)
        {
            throw new MachineException($"The {role} '{path}' may not be read by this user; change its permissions or copy it.", error);
        }
        catch (Exception error) when (error is IOException or ArgumentException or NotSupportedException)
        {
            throw new MachineException($"The {role} '{path}' cannot be opened: {error.Message}", error);
        }

        try
        {
            long length = RandomAccess.GetLength(handle);
            return length > 0
                ? new ImageFile(path, handle, length)
                : throw new MachineException($"The {role} '{path}' is empty.");
        }
        catch (Exception error)
        {
            handle.Dispose();
            if (error is MachineException)
            {
                throw;
            }

            throw new MachineException($"The {role} '{path}' cannot be read: {error.Message}", error);
        }
    }

    /// <summary>Reads as much as there is of a range; returns the number of bytes.</summary>
    /// <exception cref="MachineException">The host could not read.</exception>
    public int Read(long offset, Span<byte> destination)
    {
        try
        {
            int done = 0;
            while (done < destination.Length)
            {
                int count = RandomAccess.Read(_handle, destination[done..], offset + done);
                if (count == 0)
                {
                    break;
                }

                done += count;
            }

            return done;
        }
        catch (IOException error)
        {
            throw new MachineException($"Reading '{Path}' failed: {error.Message}", error);
        }
    }

    /// <summary>Reads a whole range.</summary>
    /// <exception cref="MachineException">The file ends before it, or the host could not read.</exception>
    public void ReadExactly(long offset, Span<byte> destination)
    {
        if (offset < 0 || Read(offset, destination) != destination.Length)
        {
            throw Truncated(offset + destination.Length);
        }
    }

    /// <summary>Reads a range into guest memory.</summary>
    /// <exception cref="MachineException">The file ends before the range does, or there is no memory at that address.</exception>
    public unsafe void LoadInto(GuestMemory memory, ulong guestAddress, long offset, ulong bytes)
    {
        ArgumentNullException.ThrowIfNull(memory);
        if (offset < 0 || bytes > (ulong)Length || (ulong)offset > (ulong)Length - bytes)
        {
            throw Truncated(offset + (long)Math.Min(bytes, long.MaxValue / 2));
        }

        if (!memory.TryPin(guestAddress, bytes, forWriting: true, out nint pointer))
        {
            throw new MachineException(
                $"'{Path}' wants {bytes} bytes at {guestAddress:x}h, where this machine has no memory; give it more memory or take another image.");
        }

        try
        {
            const int Chunk = 1 << 30;
            for (ulong done = 0; done < bytes;)
            {
                int count = (int)Math.Min(Chunk, bytes - done);
                // SAFETY: TryPin validated the whole range, of which this is a part.
                ReadExactly(offset + (long)done, new Span<byte>((void*)(pointer + (nint)done), count));
                done += (ulong)count;
            }
        }
        finally
        {
            memory.Unpin(guestAddress, bytes);
        }

        memory.NotifyWritten(guestAddress, bytes);
    }

    /// <summary>Reads a little-endian 32-bit value.</summary>
    public uint ReadUInt32(long offset)
    {
        Span<byte> bytes = stackalloc byte[4];
        ReadExactly(offset, bytes);
        return BinaryPrimitives.ReadUInt32LittleEndian(bytes);
    }

    /// <inheritdoc/>
    public void Dispose() => _handle.Dispose();

    private MachineException Truncated(long needed) =>
        new($"'{Path}' is truncated: it has {Length} bytes where its header promises at least {needed}. Fetch or build it again.");
}
