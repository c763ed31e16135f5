using System.Diagnostics.CodeAnalysis;

namespace Hypervisor.Engine.Processor;

// Raising guest exceptions from handlers, and what happens when one meets another.
public sealed unsafe partial class X86Processor
{
    private readonly GuestException _guestException = new();
    private Vector _pendingVector;
    private uint _pendingErrorCode;
    private bool _pendingHasErrorCode;

    // The vector being delivered, while an exception may interrupt its delivery; -1 otherwise.
    private int _delivering = -1;

    /// <summary>Raises an exception without an error code.</summary>
    [DoesNotReturn]
    internal void Raise(Vector vector)
    {
        _pendingVector = vector;
        _pendingErrorCode = 0;
        _pendingHasErrorCode = false;
        throw _guestException;
    }

    /// <summary>Raises an exception with an error code.</summary>
    [DoesNotReturn]
    internal void Raise(Vector vector, uint errorCode)
    {
        _pendingVector = vector;
        _pendingErrorCode = errorCode;
        _pendingHasErrorCode = true;
        throw _guestException;
    }

    /// <summary>#GP(0).</summary>
    [DoesNotReturn]
    internal void RaiseGeneralProtection() => Raise(Vector.GeneralProtection, 0);

    /// <summary>#PF; sets CR2.</summary>
    [DoesNotReturn]
    internal void RaisePageFault(ulong linear, uint errorCode)
    {
        State->Cr2 = linear;
        Raise(Vector.PageFault, errorCode);
    }

    // Leaves an exception pending for the caller to throw or deliver; false, to be returned.
    private bool Pend(Vector vector, uint errorCode)
    {
        _pendingVector = vector;
        _pendingErrorCode = errorCode;
        _pendingHasErrorCode = true;
        return false;
    }

    private bool PendPageFault(ulong linear, uint errorCode)
    {
        State->Cr2 = linear;
        return Pend(Vector.PageFault, errorCode);
    }

    /// <summary>RIP of the running instruction.</summary>
    internal ulong InstructionPointer(DecodedInstruction* i) => State->BlockRip + i->Offset;

    // Exceptions that come on the way to a handler, one after another, before the guest counts as one that never gets there.
    private const int MostInterrupted = 8;

    // Delivers what was thrown. An exception on the way is combined with the first (Intel SDM vol. 3A, table 6-5).
    private void DeliverPendingException()
    {
        _exceptions++;
        LeaveSupervisor();
        _linkSlot = null;
        if (_delivering < 0)
        {
            DecodedInstruction* i = State->Current;
            State->Retired += i->Ordinal > 0 ? (ulong)(i->Ordinal - 1) : 0;
            State->Rip = InstructionPointer(i);
            _stepArmed = false;
            _debugPending &= Dr6TaskSwitch;
        }

        int interrupted = 0;
        while (true)
        {
            int first = _delivering;
            Vector vector = _pendingVector;
            if (first == (int)Vector.DoubleFault && Severity(vector) > 0)
            {
                _delivering = -1;
                _activity = Activity.Shutdown;
                return;
            }

            if (first >= 0 && Severity((Vector)first) > 0 && Severity(vector) > 0 && (Severity((Vector)first) == 2 || Severity(vector) == 1))
            {
                vector = Vector.DoubleFault;
                _pendingErrorCode = 0;
                _pendingHasErrorCode = true;
            }

            _delivering = (int)vector;
            try
            {
                // The traps among the exceptions (#BP, #OF) are delivered by their instructions.
                Deliver((int)vector, DeliveryKind.Fault, _pendingHasErrorCode ? _pendingErrorCode : null);
                _delivering = -1;
                return;
            }
            catch (GuestException)
            {
                LeaveSupervisor();

                // Benign exceptions are taken one after another, and can go on for ever: #AC on a handler's stack that is not aligned, for
                // one, as on hardware (CVE-2015-5307). Others are not kept waiting then: the instruction is begun again, and faults again.
                if (++interrupted > MostInterrupted && State->Attention != 0)
                {
                    _delivering = -1;
                    return;
                }
            }
        }
    }

    // 0 benign, 1 contributory, 2 page fault; a double fault counts with the latter, whatever follows it is looked at before.
    private static int Severity(Vector vector) => vector switch
    {
        Vector.PageFault => 2,
        Vector.DoubleFault => 1,
        Vector.DivideError or Vector.InvalidTss or Vector.SegmentNotPresent or Vector.StackFault or Vector.GeneralProtection => 1,
        _ => 0,
    };

    private void DeliverTrap(Vector vector)
    {
        _delivering = (int)vector;
        Deliver((int)vector, DeliveryKind.Trap, null);
        _delivering = -1;
    }

    private void DeliverExternal(int vector)
    {
        _interrupts++;
        // The vector's severity is that of nothing: 32 stands for all interrupts.
        _delivering = 32;
        Deliver(vector, DeliveryKind.External, null);
        _delivering = -1;
    }
}
