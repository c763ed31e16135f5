using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Posix;

/// <summary>An eventfd: a 64-bit counter that the kernel (irqfd, ioeventfd) and this process add to and wait on.</summary>
public sealed partial class EventFd : FileDescriptor
{
    private const int CloseOnExec = 0x80000, NonBlocking = 0x800;
    private const short PollIn = 1;

    private EventFd(int descriptor) : base(descriptor) { }

    /// <summary>Makes an event with counter 0.</summary>
    /// <exception cref="IOException">The process or system has no more descriptors.</exception>
    public static EventFd Create()
    {
        int number = Eventfd(0, CloseOnExec | NonBlocking);
        return number >= 0
            ? new EventFd(number)
            : throw new IOException($"No event descriptor to be had: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}.");
    }

    /// <summary>Adds one to the counter. Never blocks: a counter at its maximum is signalled already.</summary>
    public unsafe void Signal()
    {
        ulong one = 1;

        // SAFETY: eight bytes of a local, as eventfd(2) demands.
        _ = Write(this, &one, sizeof(ulong));
    }

    /// <summary>Fetches the counter and zeroes it; 0 when nothing was signalled.</summary>
    public unsafe ulong Take()
    {
        ulong count;

        // SAFETY: as in Signal.
        return Read(this, &count, sizeof(ulong)) == sizeof(ulong) ? count : 0;
    }

    /// <summary>Waits until the counter is not 0; false when the time is over first or a signal came.</summary>
    /// <param name="milliseconds">Longest wait; -1 waits for ever.</param>
    public unsafe bool Wait(int milliseconds)
    {
        bool held = false;
        try
        {
            DangerousAddRef(ref held);
            var poll = new PollDescriptor { Descriptor = Number, Events = PollIn };

            // SAFETY: one structure, as the count says.
            return Poll(&poll, 1, milliseconds) > 0 && (poll.Returned & PollIn) != 0;
        }
        finally
        {
            if (held)
            {
                DangerousRelease();
            }
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial int Eventfd(uint initial, int flags);

    [LibraryImport("libc", EntryPoint = "read")]
    private static unsafe partial nint Read(SafeHandle descriptor, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "write")]
    private static unsafe partial nint Write(SafeHandle descriptor, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static unsafe partial int Poll(PollDescriptor* descriptors, nuint count, int milliseconds);
}
