using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Posix;

/// <summary>
/// <c>sigaction</c> for handlers that are generated native code. Managed code must never run in a signal handler. The layout is
/// that of the 64-bit Linux C libraries (152 bytes).
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe partial struct SignalAction
{
    /// <summary>The handler takes siginfo and context; it runs on the thread's alternate stack.</summary>
    public const int SigInfo = 4, OnStack = 0x0800_0000;

    /// <summary>Address of the handler; 0 is the default action, 1 ignores.</summary>
    public nint Handler;

    /// <summary>Signals blocked while it runs.</summary>
    public fixed ulong Mask[16];

    /// <summary>SA_ flags.</summary>
    public int Flags;

    private readonly nint _restorer;

    /// <summary>Replaces the action of a signal and returns the previous one.</summary>
    /// <exception cref="IOException">No such signal.</exception>
    public static SignalAction Replace(int signal, in SignalAction action)
    {
        SignalAction previous = default;
        fixed (SignalAction* wanted = &action)
        {
            Check(Sigaction(signal, wanted, &previous));
        }

        return previous;
    }

    /// <summary>The current action of a signal.</summary>
    public static SignalAction Get(int signal)
    {
        SignalAction current = default;
        Check(Sigaction(signal, null, &current));
        return current;
    }

    private static void Check(int result)
    {
        if (result != 0)
        {
            throw new IOException($"sigaction failed (error {Marshal.GetLastPInvokeError()}).");
        }
    }

    [LibraryImport("libc", EntryPoint = "sigaction", SetLastError = true)]
    private static partial int Sigaction(int signal, SignalAction* action, SignalAction* previous);
}
