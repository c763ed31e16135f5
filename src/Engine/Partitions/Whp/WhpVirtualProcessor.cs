using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Whp;

namespace Hypervisor.Engine.Partitions.Whp;

/// <summary>A virtual processor on the Windows Hypervisor Platform.</summary>
public sealed unsafe partial class WhpVirtualProcessor : IVirtualProcessor
{
    private const ulong InterruptFlag = 1 << 9;
    private const uint GeneralProtection = 13;
    private static readonly TimeSpan HaltPoll = TimeSpan.FromMilliseconds(1);

    private readonly WhpPartition _partition;
    private readonly WhpPartitionHandle _handle;
    private readonly IPartitionBus _bus;
    private readonly WhpCpuidPolicy _cpuid;
    private readonly WhpEmulatorHandle _emulator;
    private readonly ManualResetEventSlim _wake = new(false);
    private readonly WhpExitContext* _exit;
    private GCHandle _self;
    private int _kicked;
    private volatile bool _externalInterrupt;
    private bool _windowRequested;
    private bool _disposed;

    internal WhpVirtualProcessor(WhpPartition partition, WhpPartitionHandle handle, int index, IPartitionBus bus, WhpCpuidPolicy cpuid)
    {
        _partition = partition;
        _handle = handle;
        Index = index;
        _bus = bus;
        _cpuid = cpuid;
        WhpCalls.Check(WhpEmulatorHandle.TryCreate(Callbacks, out var emulator), "make an instruction emulator");
        _emulator = emulator!;
        _self = GCHandle.Alloc(this);
        _exit = (WhpExitContext*)NativeMemory.AllocZeroed((nuint)sizeof(WhpExitContext));
        CapturePowerOnState();
        Reset();
    }

    /// <inheritdoc/>
    public int Index { get; }

    /// <inheritdoc/>
    public VpExit Run()
    {
        // SAFETY: the exit context belongs to this processor, and Run to one thread at a time.
        var exit = _exit;
        while (true)
        {
            if (Interlocked.Exchange(ref _kicked, 0) != 0)
            {
                return new VpExit(VpExitReason.Kicked);
            }

            if (_externalInterrupt)
            {
                RequestInterruptWindow();
            }

            int result = _handle.Run(Index, exit);
            if (result < 0)
            {
                return new VpExit(VpExitReason.InternalError, (uint)result);
            }

            switch (exit->Reason)
            {
                case WhpExitReason.IoPortAccess:
                    if (!HandlePort(exit))
                    {
                        return Fail(exit, 0);
                    }

                    break;

                case WhpExitReason.MemoryAccess:
                    if (!_emulator.TryMemory(GCHandle.ToIntPtr(_self), exit, out uint status))
                    {
                        return Fail(exit, status);
                    }

                    break;

                case WhpExitReason.MsrAccess:
                    HandleMsr(exit);
                    break;

                case WhpExitReason.Cpuid:
                    HandleCpuid(exit);
                    break;

                case WhpExitReason.ApicEoi:
                    _partition.EndOfInterrupt?.Invoke((byte)exit->ApicEoiVector);
                    break;

                case WhpExitReason.InterruptWindow:
                    _windowRequested = false;
                    InjectExternalInterrupt(exit);
                    break;

                case WhpExitReason.Canceled:
                    // The loop's head finds out whether it was a kick.
                    break;

                case WhpExitReason.Halt:
                    return new VpExit(VpExitReason.Halted);

                case WhpExitReason.UnrecoverableException:
                    return new VpExit(VpExitReason.Shutdown);

                default:
                    return Fail(exit, exit->UnsupportedFeature);
            }
        }
    }

    /// <inheritdoc/>
    public void Kick()
    {
        // The wish first: a run that a cancellation ends finds it.
        Interlocked.Exchange(ref _kicked, 1);
        _wake.Set();
        Cancel();
    }

    /// <inheritdoc/>
    public void WaitWhileHalted(TimeSpan timeout)
    {
        // Only old versions of Windows report halts; what ends one there is known to the hypervisor alone, so this asks again soon.
        _wake.Wait(timeout < HaltPoll ? timeout : HaltPoll);
        _wake.Reset();
    }

    /// <inheritdoc/>
    public void InjectNmi() => _partition.Request(WhpInterruptType.Nmi, (uint)Index, 0, logical: false, level: false);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_disposed)
        {
            return;
        }

        _disposed = true;
        _ = _handle.DeleteProcessor(Index);
        _emulator.Dispose();
        _wake.Dispose();
        _self.Free();
        NativeMemory.Free(_exit);
    }

    /// <summary>The INTR line of the 8259 pair.</summary>
    internal void SetExternalInterrupt(bool asserted)
    {
        _externalInterrupt = asserted;
        if (asserted)
        {
            // Out of the guest, so that the run loop asks for a window.
            _wake.Set();
            Cancel();
        }
    }

    private void Cancel()
    {
        bool held = false;
        try
        {
            _handle.DangerousAddRef(ref held);
            _ = _handle.CancelRun(Index);
        }
        catch (ObjectDisposedException)
        {
            // A machine that is gone has nothing to cancel.
            return;
        }
        finally
        {
            if (held)
            {
                _handle.DangerousRelease();
            }
        }
    }

    private bool HandlePort(WhpExitContext* exit)
    {
        ref var access = ref exit->IoPort;
        if ((access.AccessInfo & (WhpIoPortAccess.StringFlag | WhpIoPortAccess.RepeatFlag)) != 0)
        {
            return _emulator.TryPort(GCHandle.ToIntPtr(_self), exit, out _);
        }

        int size = (int)(access.AccessInfo >> 1) & 7;
        if (size is not (1 or 2 or 4))
        {
            return false;
        }

        ulong mask = (1ul << (size * 8)) - 1;
        var names = stackalloc WhpRegister[2] { WhpRegister.Rip, WhpRegister.Rax };
        var values = stackalloc WhpRegisterValue[2];
        values[0].Low = NextInstruction(exit);
        uint count = 1;
        if ((access.AccessInfo & WhpIoPortAccess.WriteFlag) != 0)
        {
            _bus.WritePort(access.Port, size, (uint)(access.Rax & mask));
        }
        else
        {
            // A 32-bit result clears the upper half; smaller ones leave it (Intel SDM vol. 1, 3.4.1.1).
            ulong value = _bus.ReadPort(access.Port, size) & mask;
            values[1].Low = size == 4 ? value : (access.Rax & ~mask) | value;
            count = 2;
        }

        return _handle.SetRegisters(Index, names, count, values) >= 0;
    }

    private void HandleCpuid(WhpExitContext* exit)
    {
        ref var access = ref exit->Cpuid;
        uint eax = (uint)access.DefaultRax, ebx = (uint)access.DefaultRbx, ecx = (uint)access.DefaultRcx, edx = (uint)access.DefaultRdx;
        _cpuid.Apply(Index, (uint)access.Rax, (uint)access.Rcx, ref eax, ref ebx, ref ecx, ref edx);
        var names = stackalloc WhpRegister[5] { WhpRegister.Rip, WhpRegister.Rax, WhpRegister.Rbx, WhpRegister.Rcx, WhpRegister.Rdx };
        var values = stackalloc WhpRegisterValue[5];
        values[0].Low = NextInstruction(exit);
        values[1].Low = eax;
        values[2].Low = ebx;
        values[3].Low = ecx;
        values[4].Low = edx;
        _ = _handle.SetRegisters(Index, names, 5, values);
    }

    private void HandleMsr(WhpExitContext* exit)
    {
        ref var access = ref exit->Msr;
        ulong value = 0;
        bool write = (access.IsWrite & 1) != 0;
        bool known = write ? UnknownMsrPolicy.TryWrite(access.Number) : UnknownMsrPolicy.TryRead(access.Number, out value);
        var names = stackalloc WhpRegister[3] { WhpRegister.Rip, WhpRegister.Rax, WhpRegister.Rdx };
        var values = stackalloc WhpRegisterValue[3];
        if (known)
        {
            values[0].Low = NextInstruction(exit);
            values[1].Low = (uint)value;
            values[2].Low = value >> 32;
            _ = _handle.SetRegisters(Index, names, write ? 1u : 3u, values);
            return;
        }

        // A pending exception event: pending 0, type "exception" (0) 1–3, with error code 8, vector 16–31, error code 32–63.
        names[0] = WhpRegister.PendingEvent;
        values[0].Low = 1 | 1 << 8 | (ulong)GeneralProtection << 16;
        _ = _handle.SetRegisters(Index, names, 1, values);
    }

    private void RequestInterruptWindow()
    {
        if (_windowRequested)
        {
            return;
        }

        // Bit 1: leave the guest as soon as it can take an interrupt.
        var name = WhpRegister.DeliverabilityNotifications;
        var value = new WhpRegisterValue { Low = 1 << 1 };
        _windowRequested = _handle.SetRegisters(Index, &name, 1, &value) >= 0;
    }

    private void InjectExternalInterrupt(WhpExitContext* exit)
    {
        const uint lvtMasked = 1 << 16;
        const ulong externalInterruptEvent = 5;
        var name = WhpRegister.ApicLvtLint0;
        var value = default(WhpRegisterValue);
        bool open = _handle.GetRegisters(Index, &name, 1, &value) < 0 || ((uint)value.Low & lvtMasked) == 0;
        const ushort blocked = WhpProcessorContext.InterruptionPending | WhpProcessorContext.InterruptShadow;
        if (!open || !_externalInterrupt || (exit->Processor.Rflags & InterruptFlag) == 0 || (exit->Processor.ExecutionState & blocked) != 0
            || _partition.ExternalInterrupts is not { } source)
        {
            return;
        }

        // Pending 0, type 1–3, vector 8–15.
        name = WhpRegister.PendingEvent;
        value = new WhpRegisterValue { Low = 1 | externalInterruptEvent << 1 | (ulong)source.Acknowledge() << 8 };
        _ = _handle.SetRegisters(Index, &name, 1, &value);
    }

    private static ulong NextInstruction(WhpExitContext* exit)
    {
        const ushort longMode = 1 << 13;
        ulong next = exit->Processor.Rip + (uint)exit->Processor.InstructionLength;
        return (exit->Processor.Cs.Attributes & longMode) != 0 ? next : (uint)next;
    }

    /// <summary>An exit that cannot be handled: its reason in bits 32–63, its code or the emulator's status in bits 0–31.</summary>
    private static VpExit Fail(WhpExitContext* exit, uint code) => new(VpExitReason.InternalError, ((ulong)exit->Reason << 32) | code);
}
