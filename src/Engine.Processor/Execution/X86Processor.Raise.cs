using System.Diagnostics.CodeAnalysis;

namespace Hypervisor.Engine.Processor;

// Raising guest exceptions from handlers.
public sealed unsafe partial class X86Processor
{
    private readonly GuestException _guestException = new();
    private Vector _pendingVector;
    private uint _pendingErrorCode;
    private bool _pendingHasErrorCode;

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

    /// <summary>The linear-free RIP of the running instruction.</summary>
    internal ulong InstructionPointer(DecodedInstruction* i) => State->BlockRip + i->Offset;
}
