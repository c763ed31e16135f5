using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Posix;

namespace Hypervisor.Engine.Native.Memory;

/// <summary>
/// A userfaultfd (userfaultfd(2), ioctl_userfaultfd(2)): this process decides what a page holds that is touched and not there, and hears
/// of stores to pages it protects. Whoever touches such a page, the kernel on a processor's behalf too, sleeps meanwhile.
/// </summary>
public sealed unsafe partial class UserFault : FileDescriptor
{
    private const nint SystemCall = 323;
    private const int CloseOnExec = 0x80000, NonBlocking = 0x800, Flags = CloseOnExec | NonBlocking;
    private const uint ApiRequest = 0xC018_AA3F, RegisterRequest = 0xC020_AA00, UnregisterRequest = 0x8010_AA01, WakeRequest = 0x8010_AA02,
        CopyRequest = 0xC028_AA03, ZeroRequest = 0xC020_AA04, MoveRequest = 0xC028_AA05, WriteProtectRequest = 0xC018_AA06, NewRequest = 0xAA00;
    private const ulong ApiVersion = 0xAA, FeatureWriteProtect = 1, FeatureMove = 1 << 16, Missing = 1, WriteProtected = 2, Protect = 1;
    private const byte PageFault = 0x12;
    private const int Exists = -17, Again = -11, Busy = -16;

    // The kernel gives up when somebody else holds the page at this moment (its own search for equal pages does), and soon lets go of it.
    private const int MoveAttempts = 100;
    private const string DevicePath = "/dev/userfaultfd";
    private const short PollIn = 1;

    private UserFault(int descriptor) : base(descriptor) { }

    /// <summary><see cref="TryMove"/> can be had (Linux 6.8 and later).</summary>
    public bool CanMove { get; private set; }

    /// <summary>A page that somebody waits for.</summary>
    /// <param name="Address">Host address of the page.</param>
    /// <param name="IsProtected">It is there and protected, and was stored to; otherwise it is not there.</param>
    public readonly record struct Fault(nint Address, bool IsProtected);

    /// <summary>Opens one that hears of the kernel's accesses too, as those of KVM are.</summary>
    /// <param name="reason">Why there is none, for a person.</param>
    public static UserFault? TryCreate(out string reason)
    {
        reason = "";
        if (!OperatingSystem.IsLinux() || RuntimeInformation.ProcessArchitecture != Architecture.X64)
        {
            reason = "userfaultfd is a part of Linux";
            return null;
        }

        // Without the privilege the administrator may have let this user in by the device's file mode (Linux 6.1 and later).
        int number = (int)Syscall(SystemCall, Flags);
        int error = number < 0 ? Marshal.GetLastPInvokeError() : 0;
        if (number < 0 && (number = OpenByDevice()) < 0)
        {
            reason = $"userfaultfd is refused ({Errno.Describe(error)}): it needs CAP_SYS_PTRACE, vm.unprivileged_userfaultfd=1, or the right to open {DevicePath}";
            return null;
        }

        return TryBegin(number, out reason);
    }

    /// <summary>Opens one by its device alone, which needs no privilege but that of the file.</summary>
    /// <param name="reason">Why there is none, for a person.</param>
    internal static UserFault? TryCreateByDevice(out string reason)
    {
        int number = OperatingSystem.IsLinux() ? OpenByDevice() : -Errno.ENOENT;
        if (number < 0)
        {
            reason = $"{DevicePath} is refused: {Errno.Describe(-number)}";
            return null;
        }

        return TryBegin(number, out reason);
    }

    private static int OpenByDevice()
    {
        int result = TryOpen(DevicePath, out var device);
        using (device)
        {
            return device?.Control(NewRequest, Flags) ?? result;
        }
    }

    private static UserFault? TryBegin(int number, out string reason)
    {
        reason = "";
        var descriptor = new UserFault(number);
        var api = new ApiArgument { Api = ApiVersion, Features = FeatureWriteProtect };
        if (descriptor.Control(ApiRequest, ref api) < 0)
        {
            descriptor.Dispose();
            reason = "this kernel's userfaultfd cannot protect pages (Linux 5.7 and later can)";
            return null;
        }

        // It answers what it can, not only what was asked for.
        descriptor.CanMove = (api.Features & FeatureMove) != 0;
        return descriptor;
    }

    /// <summary>Takes charge of a mapping's pages. Those that are there stay.</summary>
    /// <exception cref="IOException">The kernel refused.</exception>
    public void Register(nint address, nuint length)
    {
        var argument = new RegisterArgument { Start = (ulong)address, Length = length, Mode = Missing | WriteProtected };
        Check(Control(RegisterRequest, ref argument), "take charge of guest memory");
    }

    /// <summary>Gives a mapping back; who waits for a page of it goes on, and finds zeroes.</summary>
    public void Unregister(nint address, nuint length)
    {
        var argument = new RangeArgument { Start = (ulong)address, Length = length };
        _ = Control(UnregisterRequest, ref argument);
    }

    /// <summary>Puts a page there that is not, and wakes who waits for it.</summary>
    /// <exception cref="IOException">The page is there, or the kernel has no memory.</exception>
    public void Copy(nint page, void* content, nuint length)
    {
        int result;
        do
        {
            // The kernel asks to try again when the process's mappings change at this moment.
            var argument = new CopyArgument { Destination = (ulong)page, Source = (ulong)content, Length = length };
            result = Control(CopyRequest, ref argument);
        }
        while (result == Again);
        Check(result, "place a page of guest memory");
    }

    /// <summary>Puts a page of zeroes where there is no page, and wakes who waits for it. A page that is there stays as it is.</summary>
    /// <exception cref="IOException">The kernel has no memory.</exception>
    public void Zero(nint page, nuint length)
    {
        int result;
        do
        {
            var argument = new ZeroArgument { Start = (ulong)page, Length = length };
            result = Control(ZeroRequest, ref argument);
        }
        while (result == Again);
        if (result == Exists)
        {
            Wake(page, length);
            return;
        }

        Check(result, "place a page of guest memory");
    }

    /// <summary>
    /// Moves a page as it is to where there is none, both within mappings in charge: who uses it waits from then on, and nothing that was
    /// stored before is missing.
    /// </summary>
    /// <returns>False when it is not this process's alone (merged with equal ones, or the kernel is using it): it stays.</returns>
    /// <exception cref="IOException">The kernel refused.</exception>
    public bool TryMove(nint page, nint to, nuint length)
    {
        for (int attempt = 0; attempt < MoveAttempts; attempt++)
        {
            var argument = new MoveArgument { Destination = (ulong)to, Source = (ulong)page, Length = length };
            int result = Control(MoveRequest, ref argument);
            if (result == Busy)
            {
                return false;
            }

            if (result != Again)
            {
                Check(result, "move a page of guest memory");
                return true;
            }

            Thread.Yield();
        }

        return false;
    }

    /// <summary>Wakes who waits for these pages: they look again.</summary>
    public void Wake(nint page, nuint length)
    {
        var argument = new RangeArgument { Start = (ulong)page, Length = length };
        Check(Control(WakeRequest, ref argument), "wake who waits for guest memory");
    }

    /// <summary>Says whether stores to these pages are to be heard of; when not any more, wakes who waits.</summary>
    /// <exception cref="IOException">The kernel refused.</exception>
    public void SetProtection(nint page, nuint length, bool isProtected)
    {
        int result;
        do
        {
            var argument = new WriteProtectArgument { Start = (ulong)page, Length = length, Mode = isProtected ? Protect : 0 };
            result = Control(WriteProtectRequest, ref argument);
        }
        while (result == Again);
        Check(result, "protect guest memory");
    }

    /// <summary>Waits for pages that somebody needs, or until an event is signalled.</summary>
    /// <param name="faults">Takes them.</param>
    /// <param name="stop">The event.</param>
    /// <returns>How many; -1 once the event is signalled.</returns>
    public int Wait(Span<Fault> faults, EventFd stop)
    {
        Span<Message> messages = stackalloc Message[16];
        var poll = stackalloc PollDescriptor[2];
        poll[0] = new PollDescriptor { Descriptor = Number, Events = PollIn };
        poll[1] = new PollDescriptor { Descriptor = stop.Number, Events = PollIn };

        // SAFETY: two structures, as the count says.
        _ = Poll(poll, 2, -1);
        if (poll[1].Returned != 0)
        {
            return -1;
        }

        nint read;
        messages = messages[..Math.Min(messages.Length, faults.Length)];
        fixed (Message* buffer = messages)
        {
            // SAFETY: as many bytes as there are messages.
            read = Read(Number, buffer, (nuint)(messages.Length * sizeof(Message)));
        }

        int count = 0;
        foreach (ref readonly var message in messages[..(int)Math.Max(0, read / sizeof(Message))])
        {
            if (message.Event == PageFault)
            {
                faults[count++] = new Fault((nint)(message.Address & ~0xFFFul), (message.Flags & WriteProtected) != 0);
            }
        }

        return count;
    }

    private static void Check(int result, string what)
    {
        if (result < 0)
        {
            throw new IOException($"The kernel refused to {what}: {Errno.Describe(-result)}.");
        }
    }

    // include/uapi/linux/userfaultfd.h; sizes are part of the request numbers.
    [StructLayout(LayoutKind.Sequential)]
    private struct ApiArgument
    {
        public ulong Api, Features, Requests;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct RangeArgument
    {
        public ulong Start, Length;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct RegisterArgument
    {
        public ulong Start, Length, Mode, Requests;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct CopyArgument
    {
        public ulong Destination, Source, Length, Mode;
        public long Copied;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct MoveArgument
    {
        public ulong Destination, Source, Length, Mode;
        public long Moved;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct ZeroArgument
    {
        public ulong Start, Length, Mode;
        public long Zeroed;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct WriteProtectArgument
    {
        public ulong Start, Length, Mode;
    }

    [StructLayout(LayoutKind.Explicit, Size = 32)]
    private struct Message
    {
        [FieldOffset(0)]
        public byte Event;
        [FieldOffset(8)]
        public ulong Flags;
        [FieldOffset(16)]
        public ulong Address;
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Returned;
    }

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial nint Syscall(nint number, nint flags);

    [LibraryImport("libc", EntryPoint = "read")]
    private static partial nint Read(int descriptor, void* buffer, nuint count);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(PollDescriptor* descriptors, nuint count, int milliseconds);
}
