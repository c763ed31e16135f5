using Hypervisor.Engine.Native.Files;

namespace Hypervisor.Engine.Inventory;

/// <summary>Replaces a file so that a reader, and a crash at any moment, sees either the whole old or the whole new content.</summary>
internal static class AtomicFile
{
    /// <summary>Suffix of a file that is being written; a leftover of a crash is never read and is overwritten by the next write.</summary>
    internal const string TemporarySuffix = ".new";

    /// <summary>Writes beside the target, flushes to the disk, renames over the target and flushes the folder.</summary>
    /// <param name="path">File to replace or to make.</param>
    /// <param name="content">All of its new content.</param>
    /// <param name="isDurable">It outlasts a failure of power; otherwise nothing is flushed.</param>
    /// <exception cref="IOException">The disk is full or the folder not writable; the old content is untouched.</exception>
    public static void Replace(string path, ReadOnlySpan<byte> content, bool isDurable = true)
    {
        string temporary = path + TemporarySuffix;
        try
        {
            using (var stream = new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
            {
                stream.Write(content);
                stream.Flush(isDurable);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            TryDelete(temporary);
            throw;
        }

        if (isDurable)
        {
            DirectorySync.Flush(Path.GetDirectoryName(path)!);
        }
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // The write's own failure is what the caller is told; a leftover temporary file is harmless.
        }
    }
}
