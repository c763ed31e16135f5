using System.Runtime.CompilerServices;
using Hypervisor.Engine.Native.Kvm;
using Hypervisor.Engine.Native.Posix;

namespace Hypervisor.Engine.Partitions.Kvm;

/// <summary>A virtual processor on KVM.</summary>
/// <remarks>
/// How a kick is never lost: <see cref="Kick"/> first records the wish, then sets <c>immediate_exit</c> in the run page, then
/// interrupts the running thread if there is one. The kernel looks at <c>immediate_exit</c> before it enters the guest, and a signal
/// that comes later takes it out again. <see cref="Run"/> clears the byte before it looks for the wish, so a kick between the two
/// leaves the byte set and at worst costs one more turn. Leaving only through the kernel also completes the port or MMIO access under
/// way, so that the registers read afterwards are those of an instruction boundary.
/// </remarks>
public sealed unsafe partial class KvmVirtualProcessor : IVirtualProcessor
{
    private readonly KvmPartition _partition;
    private readonly FileDescriptor _descriptor;
    private readonly FileMapping _mapping;
    private readonly KvmRun* _run;
    private readonly ulong _runPageBytes;
    private readonly IPartitionBus _bus;
    private int _kicked;
    private int _nmiPending;
    private int _runner;

    internal KvmVirtualProcessor(KvmPartition partition, int index, FileDescriptor descriptor, int runPageBytes, int extendedStateBytes, IPartitionBus bus)
    {
        _partition = partition;
        Index = index;
        _descriptor = descriptor;
        _bus = bus;
        _extendedStateBytes = extendedStateBytes;
        _runPageBytes = (ulong)runPageBytes;
        _mapping = FileMapping.Map(descriptor, (nuint)runPageBytes);
        _run = (KvmRun*)_mapping.Address;
    }

    /// <inheritdoc/>
    public int Index { get; }

    /// <inheritdoc/>
    public VpExit Run()
    {
        bool heldDescriptor = false, heldMapping = false;
        try
        {
            _descriptor.DangerousAddRef(ref heldDescriptor);
            _mapping.DangerousAddRef(ref heldMapping);
            Volatile.Write(ref _runner, WakeSignal.CurrentThread);

            // Either a kicker sees this thread, or this thread sees its kick: both write before they read.
            Interlocked.MemoryBarrier();
            return TryTakeInterruption(out var exit) ? exit : RunHeld(_descriptor.Number);
        }
        finally
        {
            Volatile.Write(ref _runner, 0);
            if (heldMapping)
            {
                _mapping.DangerousRelease();
            }

            if (heldDescriptor)
            {
                _descriptor.DangerousRelease();
            }
        }
    }

    /// <inheritdoc/>
    public void Kick()
    {
        Interlocked.Exchange(ref _kicked, 1);
        Interrupt();
    }

    /// <inheritdoc/>
    public void InjectNmi()
    {
        // KVM_NMI waits for a running processor to stop, so its own thread issues it.
        Interlocked.Exchange(ref _nmiPending, 1);
        Interrupt();
    }

    /// <inheritdoc/>
    public void WaitWhileHalted(TimeSpan timeout)
    {
        // The kernel waits inside Run.
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _mapping.Dispose();
        _descriptor.Dispose();
    }

    private void Interrupt()
    {
        if (!_mapping.TryHold())
        {
            return;
        }

        Volatile.Write(ref _run->ImmediateExit, 1);
        Interlocked.MemoryBarrier();
        int thread = Volatile.Read(ref _runner);
        if (thread != 0)
        {
            WakeSignal.Send(thread);
        }

        _mapping.DangerousRelease();
    }

    /// <summary>Takes what <see cref="Interrupt"/> was called for; true when Run is to return.</summary>
    private bool TryTakeInterruption(out VpExit exit)
    {
        Volatile.Write(ref _run->ImmediateExit, 0);
        Interlocked.MemoryBarrier();
        if (Interlocked.Exchange(ref _nmiPending, 0) != 0)
        {
            _ = _descriptor.Control(KvmRequest.Nmi);
        }

        exit = new VpExit(VpExitReason.Kicked);
        return Interlocked.Exchange(ref _kicked, 0) != 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private VpExit RunHeld(int descriptor)
    {
        // SAFETY: the run page is held by the caller. The kernel writes it only inside the ioctl; offsets are checked before use.
        var run = _run;
        while (true)
        {
            int result = FileDescriptor.Control(descriptor, KvmRequest.Run, 0);
            if (result < 0)
            {
                if (result == -Errno.EINTR)
                {
                    if (TryTakeInterruption(out var exit))
                    {
                        return exit;
                    }

                    continue;
                }

                if (result == -Errno.EAGAIN)
                {
                    // Woken while waiting for SIPI.
                    continue;
                }

                return Fail(run, -result);
            }

            switch (run->ExitReason)
            {
                case KvmExitReason.Io:
                    if (!HandlePort(run))
                    {
                        return Fail(run, 0);
                    }

                    break;

                case KvmExitReason.Mmio:
                    HandleMmio(run);
                    break;

                case KvmExitReason.X86ReadMsr:
                case KvmExitReason.X86WriteMsr:
                    HandleMsr(run);
                    break;

                case KvmExitReason.Intr:
                case KvmExitReason.IrqWindowOpen:
                    if (TryTakeInterruption(out var interruption))
                    {
                        return interruption;
                    }

                    break;

                case KvmExitReason.Hlt:
                    return new VpExit(VpExitReason.Halted);

                case KvmExitReason.Shutdown:
                case KvmExitReason.SystemEvent:
                    return new VpExit(VpExitReason.Shutdown);

                default:
                    return Fail(run, 0);
            }
        }
    }

    private bool HandlePort(KvmRun* run)
    {
        ref var io = ref run->Io;
        int size = io.Size;
        ushort port = io.Port;
        ulong bytes = (ulong)size * io.Count;
        if (size is not (1 or 2 or 4) || io.DataOffset > _runPageBytes || bytes > _runPageBytes - io.DataOffset)
        {
            return false;
        }

        byte* data = (byte*)run + io.DataOffset;
        byte* end = data + bytes;
        if (io.Direction != 0)
        {
            // A string instruction hands over many values at once.
            for (; data < end; data += size)
            {
                uint value = size == 1 ? *data : size == 2 ? Unsafe.ReadUnaligned<ushort>(data) : Unsafe.ReadUnaligned<uint>(data);
                _bus.WritePort(port, size, value);
            }
        }
        else
        {
            for (; data < end; data += size)
            {
                uint value = _bus.ReadPort(port, size);
                if (size == 1)
                {
                    *data = (byte)value;
                }
                else if (size == 2)
                {
                    Unsafe.WriteUnaligned(data, (ushort)value);
                }
                else
                {
                    Unsafe.WriteUnaligned(data, value);
                }
            }
        }

        return true;
    }

    private void HandleMmio(KvmRun* run)
    {
        ref var mmio = ref run->Mmio;
        int size = (int)Math.Min(mmio.Length, 8u);
        ulong mask = size == 8 ? ulong.MaxValue : (1ul << (size * 8)) - 1;
        if (size == 0)
        {
            return;
        }

        if (mmio.IsWrite != 0)
        {
            _bus.WriteMmio(mmio.PhysicalAddress, size, Unsafe.ReadUnaligned<ulong>(ref mmio.Data[0]) & mask);
        }
        else
        {
            Unsafe.WriteUnaligned(ref mmio.Data[0], _bus.ReadMmio(mmio.PhysicalAddress, size) & mask);
        }
    }

    /// <summary>
    /// An exit that cannot be handled. The detail holds the error number in bits 48–63, the exit's reason in bits 32–47 and its code
    /// (sub-error of the kernel's emulator, hardware's entry failure, page number of a memory fault) in bits 0–31.
    /// </summary>
    private static VpExit Fail(KvmRun* run, int error)
    {
        var reason = run->ExitReason;
        ulong code = reason switch
        {
            KvmExitReason.InternalError => run->InternalError.SubError,
            KvmExitReason.FailEntry => (uint)run->FailEntry.HardwareReason,
            KvmExitReason.MemoryFault => (uint)(run->MemoryFault.PhysicalAddress >> 12),
            KvmExitReason.Unknown => (uint)run->HardwareExitReason,
            _ => 0,
        };
        return new VpExit(VpExitReason.InternalError, ((ulong)(uint)error << 48) | (((ulong)reason & 0xFFFF) << 32) | code);
    }
}
