using System.ComponentModel;
using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Terminal;

/// <summary>
/// Reads bytes of standard input past the runtime's own console layer, with a limit of time, so that a reader can be ended without
/// leaving a thread behind that would swallow the next byte.
/// </summary>
public static unsafe partial class StandardInput
{
    private const int Descriptor = 0;
    private const short PollIn = 1;
    private const int Interrupted = 4, TryAgain = 11;
    private const uint WindowsInput = unchecked((uint)-10);
    private const uint WaitTimeout = 0x102;
    private const int BrokenPipe = 109;

    /// <summary>What came of a read.</summary>
    public enum Outcome
    {
        /// <summary>Nothing within the time.</summary>
        Nothing,
        /// <summary>There are bytes.</summary>
        Bytes,
        /// <summary>There will never be more.</summary>
        End,
    }

    /// <summary>Waits for bytes and takes them.</summary>
    /// <param name="buffer">Where they go.</param>
    /// <param name="milliseconds">Longest wait.</param>
    /// <param name="count">How many came.</param>
    public static Outcome Read(Span<byte> buffer, int milliseconds, out int count)
    {
        count = 0;
        return OperatingSystem.IsWindows() ? ReadWindows(buffer, milliseconds, out count) : ReadUnix(buffer, milliseconds, out count);
    }

    private static Outcome ReadUnix(Span<byte> buffer, int milliseconds, out int count)
    {
        count = 0;
        var poll = new PollDescriptor { Descriptor = Descriptor, Events = PollIn };

        // SAFETY: one descriptor, which lives for the call.
        if (Poll(&poll, 1, milliseconds) <= 0)
        {
            return Outcome.Nothing;
        }

        // SAFETY: the buffer is pinned and its length is given.
        fixed (byte* bytes = buffer)
        {
            nint got = ReadDescriptor(Descriptor, bytes, (nuint)buffer.Length);
            if (got > 0)
            {
                count = (int)got;
                return Outcome.Bytes;
            }

            return got < 0 && Marshal.GetLastPInvokeError() is Interrupted or TryAgain ? Outcome.Nothing : Outcome.End;
        }
    }

    private static Outcome ReadWindows(Span<byte> buffer, int milliseconds, out int count)
    {
        count = 0;
        nint handle = GetStdHandle(WindowsInput);
        if (PeekNamedPipe(handle, 0, 0, 0, out uint available, 0) != 0)
        {
            if (available == 0)
            {
                Thread.Sleep(Math.Min(milliseconds, 20));
                return Outcome.Nothing;
            }
        }
        else if (Marshal.GetLastPInvokeError() == BrokenPipe)
        {
            return Outcome.End;
        }
        else if (WaitForSingleObject(handle, (uint)milliseconds) == WaitTimeout)
        {
            return Outcome.Nothing;
        }

        // SAFETY: the buffer is pinned and its length is given.
        fixed (byte* bytes = buffer)
        {
            if (ReadFile(handle, bytes, (uint)buffer.Length, out uint got, 0) == 0 || got == 0)
            {
                return Outcome.End;
            }

            count = (int)got;
            return Outcome.Bytes;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    [LibraryImport("libc", EntryPoint = "poll", SetLastError = true)]
    private static partial int Poll(PollDescriptor* descriptors, nuint count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "read", SetLastError = true)]
    private static partial nint ReadDescriptor(int descriptor, byte* buffer, nuint length);

    [LibraryImport("kernel32", EntryPoint = "GetStdHandle")]
    private static partial nint GetStdHandle(uint which);

    [LibraryImport("kernel32", EntryPoint = "PeekNamedPipe", SetLastError = true)]
    private static partial int PeekNamedPipe(nint pipe, nint buffer, uint size, nint read, out uint available, nint left);

    [LibraryImport("kernel32", EntryPoint = "WaitForSingleObject")]
    private static partial uint WaitForSingleObject(nint handle, uint milliseconds);

    [LibraryImport("kernel32", EntryPoint = "ReadFile", SetLastError = true)]
    private static partial int ReadFile(nint handle, byte* buffer, uint length, out uint read, nint overlapped);
}
