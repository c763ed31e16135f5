using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Whp;

/// <summary>The instruction emulator of WinHvEmulation.dll, for accesses that need the instruction decoded.</summary>
public sealed unsafe partial class WhpEmulatorHandle : SafeHandle
{
    /// <summary>Bit 0 of an emulation's status: it was done and the registers are advanced.</summary>
    private const uint Successful = 1;

    private WhpEmulatorHandle(nint emulator) : base(0, ownsHandle: true) => SetHandle(emulator);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>Makes an emulator with these callbacks, which must stay valid for its life.</summary>
    public static int TryCreate(WhpEmulatorCallbacks callbacks, out WhpEmulatorHandle? emulator)
    {
        nint created;
        callbacks.Size = (uint)sizeof(WhpEmulatorCallbacks);

        // SAFETY: the callbacks are copied by the call, which fills one pointer-sized local.
        int result = WHvEmulatorCreateEmulator(&callbacks, &created);
        emulator = result >= 0 ? new WhpEmulatorHandle(created) : null;
        return result;
    }

    /// <summary>Emulates the string port instruction of an exit; false with the status where that did not work.</summary>
    public bool TryPort(nint context, WhpExitContext* exit, out uint status)
    {
        uint value = 0;
        int result = WHvEmulatorTryIoEmulation(this, context, &exit->Processor, &exit->IoPort, &value);
        status = value;
        return result >= 0 && (value & Successful) != 0;
    }

    /// <summary>Emulates the instruction of a memory exit; false with the status where that did not work.</summary>
    public bool TryMemory(nint context, WhpExitContext* exit, out uint status)
    {
        uint value = 0;
        int result = WHvEmulatorTryMmioEmulation(this, context, &exit->Processor, &exit->Memory, &value);
        status = value;
        return result >= 0 && (value & Successful) != 0;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle() => WHvEmulatorDestroyEmulator(handle) >= 0;

    [LibraryImport(WhpLibrary.Emulation)]
    private static partial int WHvEmulatorCreateEmulator(WhpEmulatorCallbacks* callbacks, nint* emulator);

    [LibraryImport(WhpLibrary.Emulation)]
    private static partial int WHvEmulatorDestroyEmulator(nint emulator);

    [LibraryImport(WhpLibrary.Emulation)]
    private static partial int WHvEmulatorTryIoEmulation(SafeHandle emulator, nint context, WhpProcessorContext* processor, WhpIoPortAccess* access, uint* status);

    [LibraryImport(WhpLibrary.Emulation)]
    private static partial int WHvEmulatorTryMmioEmulation(SafeHandle emulator, nint context, WhpProcessorContext* processor, WhpMemoryAccess* access, uint* status);
}
