using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Memory;

/// <summary>
/// Memory for generated code, seen twice: through one mapping it is written, through another it is executed, and no mapping is both.
/// Linux only.
/// </summary>
public sealed partial class ExecutableMemory : IDisposable
{
    private const int ProtRead = 1, ProtWrite = 2, ProtExecute = 4, MapShared = 1;
    private const uint CloseOnExec = 1;

    private readonly View _writable;
    private readonly View _executable;

    private ExecutableMemory(View writable, View executable, nuint length)
    {
        _writable = writable;
        _executable = executable;
        Length = length;
    }

    /// <summary>Length in bytes.</summary>
    public nuint Length { get; }

    /// <summary>Where it is written.</summary>
    public nint Writable => _writable.DangerousGetHandle();

    /// <summary>Where it is executed.</summary>
    public nint Executable => _executable.DangerousGetHandle();

    /// <summary>Maps memory.</summary>
    /// <param name="length">Bytes, a multiple of 4096.</param>
    /// <exception cref="IOException">The system refuses, for example because it forbids generated code.</exception>
    public static ExecutableMemory Allocate(nuint length)
    {
        int descriptor = MemfdCreate("code", CloseOnExec);
        if (descriptor < 0)
        {
            throw Failure("Making memory for generated code");
        }

        try
        {
            if (Ftruncate(descriptor, (nint)length) != 0)
            {
                throw Failure($"Reserving {length} bytes for generated code");
            }

            var writable = View.Map(descriptor, length, ProtRead | ProtWrite);
            try
            {
                return new ExecutableMemory(writable, View.Map(descriptor, length, ProtRead | ProtExecute), length);
            }
            catch
            {
                writable.Dispose();
                throw;
            }
        }
        finally
        {
            _ = Close(descriptor);
        }
    }

    /// <summary>Gives the pages of a part back while it stays mapped; they read as zeroes afterwards, in both views.</summary>
    /// <param name="offset">Where the part begins, a multiple of the host's page size.</param>
    /// <param name="length">Its bytes, a multiple of the host's page size.</param>
    /// <returns>False where the system refuses; the pages then stay as they are.</returns>
    public bool Release(nuint offset, nuint length) => MemoryAdvice.RemoveShared(Writable + (nint)offset, length);

    /// <inheritdoc/>
    public void Dispose()
    {
        _executable.Dispose();
        _writable.Dispose();
    }

    private static IOException Failure(string what) =>
        new($"{what} failed: {Marshal.GetPInvokeErrorMessage(Marshal.GetLastPInvokeError())}.");

    private sealed class View : SafeHandle
    {
        private readonly nuint _length;

        private View(nint address, nuint length) : base(0, ownsHandle: true)
        {
            SetHandle(address);
            _length = length;
        }

        public override bool IsInvalid => handle == 0;

        public static View Map(int descriptor, nuint length, int protection)
        {
            nint address = Mmap(0, length, protection, MapShared, descriptor, 0);
            return address != -1 ? new View(address, length) : throw Failure($"Mapping {length} bytes for generated code");
        }

        protected override bool ReleaseHandle() => Munmap(handle, _length) == 0;
    }

    [LibraryImport("libc", EntryPoint = "memfd_create", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int MemfdCreate(string name, uint flags);

    [LibraryImport("libc", EntryPoint = "ftruncate", SetLastError = true)]
    private static partial int Ftruncate(int descriptor, nint length);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);

    [LibraryImport("libc", EntryPoint = "mmap", SetLastError = true)]
    private static partial nint Mmap(nint address, nuint length, int protection, int flags, int descriptor, nint offset);

    [LibraryImport("libc", EntryPoint = "munmap")]
    private static partial int Munmap(nint address, nuint length);
}
