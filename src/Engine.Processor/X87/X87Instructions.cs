namespace Hypervisor.Engine.Processor;

/// <summary>The x87 floating-point unit.</summary>
internal static unsafe partial class X87Instructions
{
    public static void Register(InstructionTable.Builder table)
    {
        RegisterControl(table);
        RegisterArithmetic(table);
        RegisterMoves(table);
        RegisterCompare(table);
        RegisterRemainder(table);
        RegisterTranscendental(table);
    }

    /// <summary>#NM where the unit is absent or another task's (CR0.EM, CR0.TS).</summary>
    private static void EnterControl(X86Processor cpu)
    {
        if ((cpu.State->Cr0 & (X86Processor.Cr0Em | X86Processor.Cr0Ts)) != 0)
        {
            cpu.Raise(Vector.DeviceNotAvailable);
        }
    }

    /// <summary>As <see cref="EnterControl"/>, and #MF where an unmasked exception waits.</summary>
    private static void EnterWaiting(X86Processor cpu)
    {
        EnterControl(cpu);
        RaisePending(cpu);
    }

    private static void RaisePending(X86Processor cpu)
    {
        if ((cpu.State->X87Status & X87State.ErrorSummary) != 0)
        {
            cpu.NoteFloatOpcode();
            cpu.Raise(Vector.FloatingPoint);
        }
    }
}
