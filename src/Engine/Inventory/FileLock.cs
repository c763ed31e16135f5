using System.Diagnostics;

namespace Hypervisor.Engine.Inventory;

/// <summary>
/// An exclusive lock between processes, held by the operating system on an open file (flock on Unix, a share mode on Windows).
/// It ends with the process that holds it, however that ends; the file's existence means nothing.
/// </summary>
internal sealed class FileLock : IDisposable
{
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(10);

    private readonly FileStream _stream;

    private FileLock(FileStream stream) => _stream = stream;

    /// <summary>Takes the lock, or returns null when somebody else holds it for the whole of <paramref name="patience"/>.</summary>
    /// <exception cref="UnauthorizedAccessException">The file may not be written.</exception>
    public static FileLock? TryTake(string path, TimeSpan patience)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            try
            {
                return new FileLock(new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0));
            }
            catch (IOException exception) when (IsSharingViolation(exception))
            {
                if (Stopwatch.GetElapsedTime(start) >= patience)
                {
                    return null;
                }
            }

            Thread.Sleep(RetryInterval);
        }
    }

    /// <summary>True while some process, this one included, holds the lock.</summary>
    public static bool IsHeld(string path)
    {
        try
        {
            // A shared lock: two that only ask do not disturb each other.
            using var probe = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            return false;
        }
        catch (IOException exception) when (IsSharingViolation(exception))
        {
            return true;
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return false;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _stream.Dispose();

    // A missing folder, a full disk and the like are failures of their own and never "somebody holds it".
    // Windows: ERROR_SHARING_VIOLATION. Unix: flock answers EWOULDBLOCK, whose number .NET carries in HResult (11 Linux, 35 macOS).
    private static bool IsSharingViolation(IOException exception) =>
        exception.GetType() == typeof(IOException) && exception.HResult is unchecked((int)0x80070020) or 11 or 35;
}
