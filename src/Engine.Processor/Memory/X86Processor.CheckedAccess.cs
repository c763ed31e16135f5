namespace Hypervisor.Engine.Processor;

// Accesses that are looked at one by one: alignment checks at CPL 3 (Intel SDM vol. 3A, 6.15, interrupt 17) and breakpoints on data.
// All of them go the slow way: neither is in the translation buffer.
public sealed unsafe partial class X86Processor
{
    // A run of bytes is being copied: its alignment was checked as a whole.
    private bool _copiesBytes;

    private void CheckAccess(ulong linear, int size, bool write)
    {
        bool natural = size is 2 or 4 or 8 or 16;
        if (_checksAlignment && natural && !_copiesBytes && !_implicitSupervisor && (linear & ((ulong)size - 1)) != 0)
        {
            Raise(Vector.AlignmentCheck, 0);
        }

        if (_watchesData)
        {
            NoteAccess(linear, size, write);
        }
    }

    // Images of the x87 and the like: a multiple of four, the 16-bit ones of two (vol. 3A, table 6-7).
    private void CheckImageAlignment(ulong linear, int count)
    {
        const int shortEnvironment = 14, shortImage = 94;
        ulong unit = count is shortEnvironment or shortImage ? 2ul : 4;
        if (_checksAlignment && (linear & (unit - 1)) != 0)
        {
            Raise(Vector.AlignmentCheck, 0);
        }
    }
}
