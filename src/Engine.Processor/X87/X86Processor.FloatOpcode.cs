namespace Hypervisor.Engine.Processor;

// The x87's last opcode.
public sealed unsafe partial class X86Processor
{
    private const byte FirstEscape = 0xD8, LastEscape = 0xDF, EscapeMask = 7;

    /// <summary>
    /// Sets FOP from the instruction at FIP, which left an unmasked exception pending: as on Intel's processors it is recorded for
    /// those only (vol. 1, 8.1.9.1), so that there is time to read it when somebody asks.
    /// </summary>
    internal void NoteFloatOpcode()
    {
        ulong linear = LinearRip(State->X87InstructionPointer);
        ulong faultAddress = State->Cr2;
        try
        {
            for (uint at = 0; at < MaximumInstructionBytes - 1; at++)
            {
                byte escape = FetchByte(linear + at);
                if (escape is >= FirstEscape and <= LastEscape)
                {
                    State->X87Opcode = (ushort)(((escape & EscapeMask) << 8) | FetchByte(linear + at + 1));
                    return;
                }
            }
        }
        catch (GuestException)
        {
            // The code is gone since: what was known stays.
            State->Cr2 = faultAddress;
        }
    }
}
