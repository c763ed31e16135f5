using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text;

namespace Hypervisor.Engine.Native.Terminal;

/// <summary>
/// Puts the terminal of this process into raw mode, in which every key goes to whoever reads and none is acted on, and puts it back
/// on disposal, on the signals that end a process, and when the process ends otherwise.
/// </summary>
public sealed unsafe partial class RawTerminal : IDisposable
{
    private const int StandardInput = 0;
    private const int Now = 0;

    // Larger than struct termios of any system that .NET runs on (60 bytes Linux, 72 macOS); only the C library looks inside.
    private const int TermiosBytes = 256;

    private const uint WindowsInput = unchecked((uint)-10), WindowsOutput = unchecked((uint)-11);
    private const uint VirtualTerminalInput = 0x200, ProcessedOutput = 1, VirtualTerminalProcessing = 4;

    private readonly Lock _lock = new();
    private readonly byte[] _termios = new byte[TermiosBytes];
    private readonly List<PosixSignalRegistration> _signals = [];
    private readonly Stream _output;
    private readonly byte[] _farewell;
    private uint _inputMode, _outputMode;
    private bool _restored;

    private RawTerminal(Stream output, byte[] farewell) => (_output, _farewell) = (output, farewell);

    /// <summary>Switches to raw mode.</summary>
    /// <exception cref="IOException">Standard input is no terminal.</exception>
    public static RawTerminal Enter() => Enter(Stream.Null, "");

    /// <summary>Switches to raw mode, for a program that draws.</summary>
    /// <param name="output">Where what is written goes: the terminal. The caller's.</param>
    /// <param name="farewell">Text that the terminal is sent before it is put back, on whatever way: the end of another screen, for instance.</param>
    /// <exception cref="IOException">Standard input is no terminal.</exception>
    public static RawTerminal Enter(Stream output, string farewell)
    {
        var terminal = new RawTerminal(output, Encoding.UTF8.GetBytes(farewell));
        if (OperatingSystem.IsWindows())
        {
            terminal.EnterWindows();
        }
        else
        {
            terminal.EnterUnix();
        }

        AppDomain.CurrentDomain.ProcessExit += terminal.OnProcessExit;
        AppDomain.CurrentDomain.UnhandledException += terminal.OnUnhandledException;
        foreach (PosixSignal signal in (PosixSignal[])[PosixSignal.SIGTERM, PosixSignal.SIGHUP, PosixSignal.SIGINT, PosixSignal.SIGQUIT])
        {
            // The signal's own effect follows: it is not cancelled here.
            terminal._signals.Add(PosixSignalRegistration.Create(signal, _ => terminal.Restore()));
        }

        return terminal;
    }

    /// <summary>Writes to the terminal; false when it was put back meanwhile, or is gone: what is written would land among other output.</summary>
    public bool TryWrite(string text)
    {
        lock (_lock)
        {
            return !_restored && TrySend(Encoding.UTF8.GetBytes(text));
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        AppDomain.CurrentDomain.ProcessExit -= OnProcessExit;
        AppDomain.CurrentDomain.UnhandledException -= OnUnhandledException;
        foreach (PosixSignalRegistration signal in _signals)
        {
            signal.Dispose();
        }

        Restore();
    }

    private void OnProcessExit(object? sender, EventArgs arguments) => Restore();

    private void OnUnhandledException(object? sender, UnhandledExceptionEventArgs arguments) => Restore();

    private bool TrySend(ReadOnlySpan<byte> bytes)
    {
        try
        {
            _output.Write(bytes);
            _output.Flush();
            return true;
        }
        catch (IOException)
        {
            // The terminal was closed: there is nobody to show anything to.
            return false;
        }
    }

    private void EnterUnix()
    {
        // SAFETY: both buffers are larger than the system's struct termios, and pinned for the calls.
        fixed (byte* saved = _termios)
        {
            if (Tcgetattr(StandardInput, saved) != 0)
            {
                throw Failure();
            }

            byte* raw = stackalloc byte[TermiosBytes];
            new ReadOnlySpan<byte>(saved, TermiosBytes).CopyTo(new Span<byte>(raw, TermiosBytes));
            Cfmakeraw(raw);
            if (Tcsetattr(StandardInput, Now, raw) != 0)
            {
                throw Failure();
            }
        }
    }

    private void EnterWindows()
    {
        nint input = GetStdHandle(WindowsInput), output = GetStdHandle(WindowsOutput);
        if (GetConsoleMode(input, out _inputMode) == 0 || GetConsoleMode(output, out _outputMode) == 0
            || SetConsoleMode(input, VirtualTerminalInput) == 0
            || SetConsoleMode(output, _outputMode | ProcessedOutput | VirtualTerminalProcessing) == 0)
        {
            throw Failure();
        }
    }

    private void Restore()
    {
        lock (_lock)
        {
            if (_restored)
            {
                return;
            }

            _restored = true;
            _ = TrySend(_farewell);
            if (OperatingSystem.IsWindows())
            {
                _ = SetConsoleMode(GetStdHandle(WindowsInput), _inputMode);
                _ = SetConsoleMode(GetStdHandle(WindowsOutput), _outputMode);
                return;
            }

            // SAFETY: as filled in by tcgetattr.
            fixed (byte* saved = _termios)
            {
                _ = Tcsetattr(StandardInput, Now, saved);
            }
        }
    }

    private static IOException Failure() =>
        new($"The terminal cannot be put into raw mode: {new Win32Exception(Marshal.GetLastPInvokeError()).Message}.");

    [LibraryImport("libc", EntryPoint = "tcgetattr", SetLastError = true)]
    private static partial int Tcgetattr(int descriptor, byte* termios);

    [LibraryImport("libc", EntryPoint = "tcsetattr", SetLastError = true)]
    private static partial int Tcsetattr(int descriptor, int when, byte* termios);

    [LibraryImport("libc", EntryPoint = "cfmakeraw")]
    private static partial void Cfmakeraw(byte* termios);

    [LibraryImport("kernel32", EntryPoint = "GetStdHandle")]
    private static partial nint GetStdHandle(uint which);

    [LibraryImport("kernel32", EntryPoint = "GetConsoleMode", SetLastError = true)]
    private static partial int GetConsoleMode(nint handle, out uint mode);

    [LibraryImport("kernel32", EntryPoint = "SetConsoleMode", SetLastError = true)]
    private static partial int SetConsoleMode(nint handle, uint mode);
}
