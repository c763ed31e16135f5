namespace Hypervisor.Engine.Processor;

/// <summary>
/// Thrown by a handler to raise a guest exception. One object a processor, made in advance; the vector and error code stand in the
/// processor. Nothing architectural may have changed before it is thrown.
/// </summary>
internal sealed class GuestException : Exception
{
    public GuestException() : base("A guest exception; never leaves the processor.")
    {
    }
}

/// <summary>Exception vectors (Intel SDM vol. 3A, 6.3.1).</summary>
internal enum Vector
{
    DivideError = 0, Debug = 1, Nmi = 2, Breakpoint = 3, Overflow = 4, BoundRange = 5, InvalidOpcode = 6, DeviceNotAvailable = 7,
    DoubleFault = 8, InvalidTss = 10, SegmentNotPresent = 11, StackFault = 12, GeneralProtection = 13, PageFault = 14,
    FloatingPoint = 16, AlignmentCheck = 17, MachineCheck = 18, SimdFloatingPoint = 19,
}
