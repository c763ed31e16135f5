using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>Ways of adding one to a counter that other processors count in too. The counter is at RDI; RAX, RBX, RCX, RDX, R10 and R11 change.</summary>
internal static class LockedIncrement
{
    /// <summary>Writes it.</summary>
    /// <returns>False for what is none of these: <c>add</c>, <c>xadd</c>, <c>cmpxchg</c>, and <c>cmpxchg16b</c>, which adds two to the word behind.</returns>
    public static bool TryWrite(Assembler a, string kind)
    {
        var retry = a.CreateLabel();
        switch (kind)
        {
            case "add":
                a.@lock.add(__qword_ptr[rdi], 1);
                return true;
            case "xadd":
                a.mov(r10d, 1);
                a.@lock.xadd(__qword_ptr[rdi], r10);
                return true;
            case "cmpxchg":
                a.mov(rax, __qword_ptr[rdi]);
                a.Label(ref retry);
                a.lea(r11, __[rax + 1]);
                a.@lock.cmpxchg(__qword_ptr[rdi], r11);
                a.jnz(retry);
                return true;
            case "cmpxchg16b":
                a.mov(rax, __qword_ptr[rdi]);
                a.mov(rdx, __qword_ptr[rdi + 8]);
                a.Label(ref retry);
                a.lea(rbx, __[rax + 1]);
                a.lea(rcx, __[rdx + 2]);
                a.@lock.cmpxchg16b(__xmmword_ptr[rdi]);
                a.jnz(retry);
                return true;
            default:
                return false;
        }
    }
}
