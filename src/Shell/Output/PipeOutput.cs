using Microsoft.Win32.SafeHandles;

namespace Hypervisor.Shell.Output;

/// <summary>
/// Standard output where it is no terminal, on Unix. The runtime's own stream takes a pipe that nobody reads any more for one that is read:
/// <c>hv Get-EsxTop -Batch | head</c> would go on for as long as it was asked to. Here the first write that fails stops what runs.
/// </summary>
/// <param name="inner">What is written to.</param>
/// <param name="broken">Told once that nobody reads any more.</param>
internal sealed class PipeOutput(Stream inner, Action broken) : Stream
{
    // EPIPE, on Linux and macOS; .NET's IOException has the error number of the system in HResult.
    internal const int BrokenPipe = 32;

    private const int StandardOutput = 1;

    private bool _isBroken;

    public override bool CanRead => false;

    public override bool CanSeek => false;

    public override bool CanWrite => true;

    // A pipe is written from the beginning to the end: the contract of Stream has what it cannot do refused so.
    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>Standard output of this process. Without a buffer: whoever reads sees what was written.</summary>
    /// <param name="broken">Told once that nobody reads any more.</param>
    public static PipeOutput Open(Action broken) =>
        new(new FileStream(new SafeFileHandle(StandardOutput, ownsHandle: false), FileAccess.Write, bufferSize: 0), broken);

    public override void Write(byte[] buffer, int offset, int count)
    {
        if (_isBroken)
        {
            return;
        }

        try
        {
            inner.Write(buffer, offset, count);
        }
        catch (IOException exception) when (exception.HResult == BrokenPipe)
        {
            _isBroken = true;
            broken();
        }
    }

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();
}
