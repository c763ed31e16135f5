namespace Hypervisor.Engine.Processor;

// Debug registers and what they watch for (Intel SDM vol. 3A, chapter 18).
public sealed unsafe partial class X86Processor
{
    internal const ulong Dr6Detected = 1 << 13, Dr6SingleStep = 1 << 14, Dr6TaskSwitch = 1 << 15;

    private const ulong Dr6Fixed = 0xFFFF_0FF0, Dr7Fixed = 0x400;

    private const ulong Dr7LocalEnables = 0x155, Dr7GeneralDetect = 1 << 13;

    // Bits of DR6 that the trap after the running instruction is to set.
    private ulong _debugPending;

    /// <summary>#DB before an access to a debug register while DR7.GD guards them.</summary>
    internal void CheckDebugAccess()
    {
        if ((State->Debug[7] & Dr7GeneralDetect) != 0)
        {
            State->Debug[6] |= Dr6Detected;
            Raise(Vector.Debug);
        }
    }

    /// <summary>Sets DR0–DR3, DR6 or DR7; bits that are fixed stay so.</summary>
    internal void SetDebug(int number, ulong value)
    {
        State->Debug[number] = number switch
        {
            6 => (value & 0xE00F) | Dr6Fixed,
            7 => (value & 0xFFFF_23FF) | Dr7Fixed,
            _ => value,
        };
    }

    // A task switch disables the breakpoints of one task; the T bit of the new one raises #DB before its first instruction.
    private void LeaveDebugTask(bool trap)
    {
        State->Debug[7] &= ~Dr7LocalEnables;
        if (trap)
        {
            _debugPending |= Dr6TaskSwitch;
            SetAttention(Attention.SingleStep);
        }
    }
}
