using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Hypervisor.Engine.Native.Timing;

/// <summary>
/// An auto-reset event whose waits end within microseconds of their timeout. The runtime's own waits count whole milliseconds, which
/// is too coarse for a guest's timers. On Linux it is an eventfd waited for with ppoll; elsewhere the runtime's event for
/// whole milliseconds, and a spin over the rest.
/// </summary>
public sealed unsafe partial class PreciseEvent : IDisposable
{
    private const int CloseOnExec = 0x80000, NonBlocking = 0x800;
    private const short PollIn = 1;
    private const long NanosecondsPerMillisecond = 1_000_000, NanosecondsPerSecond = 1_000_000_000;

    private readonly AutoResetEvent? _portable;
    private readonly SafeFileHandle? _descriptor;

    /// <summary>Makes an event that is not set.</summary>
    /// <exception cref="InvalidOperationException">The process is out of descriptors.</exception>
    public PreciseEvent()
    {
        if (!OperatingSystem.IsLinux())
        {
            _portable = new AutoResetEvent(false);
            return;
        }

        _descriptor = new SafeFileHandle(EventFd(0, CloseOnExec | NonBlocking), ownsHandle: true);
        if (_descriptor.IsInvalid)
        {
            throw new InvalidOperationException($"The operating system refused an eventfd (error {Marshal.GetLastPInvokeError()}).");
        }
    }

    /// <summary>
    /// Makes the waits of the calling thread end as exactly as the operating system can: Linux otherwise may let them end 50 µs late
    /// to save wake-ups (prctl(2), PR_SET_TIMERSLACK).
    /// </summary>
    public static void PrepareThread()
    {
        const int SetTimerSlack = 29;
        const nuint Nanoseconds = 1000;
        if (OperatingSystem.IsLinux())
        {
            _ = Prctl(SetTimerSlack, Nanoseconds, 0, 0, 0);
        }
    }

    /// <summary>Ends the current wait, or the next one.</summary>
    public void Set()
    {
        if (_portable is not null)
        {
            _portable.Set();
            return;
        }

        ulong one = 1;
        // SAFETY: eight bytes of this frame. The counter cannot overflow in practice; if it did, it would be set, which is what is asked.
        _ = Write(_descriptor!, &one, sizeof(ulong));
    }

    /// <summary>Waits until <see cref="Set"/> or until the time is over. May also return early for no reason.</summary>
    /// <param name="nanoseconds">How long; negative without end.</param>
    public void Wait(long nanoseconds)
    {
        if (_portable is not null)
        {
            WaitPortably(nanoseconds);
            return;
        }

        bool referenced = false;
        try
        {
            _descriptor!.DangerousAddRef(ref referenced);
            int descriptor = (int)_descriptor.DangerousGetHandle();
            var poll = new PollDescriptor { Descriptor = descriptor, Events = PollIn };
            var time = new TimeSpec { Seconds = nanoseconds / NanosecondsPerSecond, Nanoseconds = nanoseconds % NanosecondsPerSecond };
            // SAFETY: both structures live in this frame and the descriptor is referenced; a null signal mask leaves the mask alone.
            if (PPoll(&poll, 1, nanoseconds < 0 ? null : &time, null) > 0)
            {
                ulong count;
                // SAFETY: eight bytes of this frame.
                _ = Read(descriptor, &count, sizeof(ulong));
            }
        }
        finally
        {
            if (referenced)
            {
                _descriptor!.DangerousRelease();
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _portable?.Dispose();
        _descriptor?.Dispose();
    }

    private void WaitPortably(long nanoseconds)
    {
        if (nanoseconds < 0)
        {
            _portable!.WaitOne();
            return;
        }

        long end = System.Diagnostics.Stopwatch.GetTimestamp()
            + (long)(nanoseconds * (System.Diagnostics.Stopwatch.Frequency / (double)NanosecondsPerSecond));
        int milliseconds = (int)Math.Min(nanoseconds / NanosecondsPerMillisecond, 60_000);
        if (_portable!.WaitOne(milliseconds) || milliseconds == 60_000)
        {
            return;
        }

        while (System.Diagnostics.Stopwatch.GetTimestamp() < end && !_portable.WaitOne(0))
        {
            Thread.SpinWait(20);
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    // struct timespec of the 64-bit Linux systems.
    [StructLayout(LayoutKind.Sequential)]
    private struct TimeSpec
    {
        public long Seconds;
        public long Nanoseconds;
    }

    [LibraryImport("libc", EntryPoint = "eventfd", SetLastError = true)]
    private static partial int EventFd(uint initial, int flags);

    [LibraryImport("libc", EntryPoint = "ppoll")]
    private static partial int PPoll(PollDescriptor* descriptors, nuint count, TimeSpec* timeout, void* signalMask);

    [LibraryImport("libc", EntryPoint = "read")]
    private static partial nint Read(int descriptor, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "write")]
    private static partial nint Write(SafeFileHandle descriptor, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "prctl")]
    private static partial int Prctl(int option, nuint argument2, nuint argument3, nuint argument4, nuint argument5);
}
