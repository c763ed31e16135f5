using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>
/// Pages of noise in small kernels: none shrinks, and no two are equal. Moved by string instructions, because where ring 0 is emulated
/// an instruction takes as long as a thousand elsewhere. ECX, ESI and EDI are lost.
/// </summary>
internal static class GuestNoise
{
    /// <summary>A page below the kernel, from which the others are made.</summary>
    private const uint Source = 0x8_0000;

    private const int Words = 1024;

    /// <summary>Makes the page that the others are made from. EAX is lost too.</summary>
    public static void MakeNoise(this Assembler code)
    {
        Label next = code.CreateLabel();
        code.cld();
        code.mov(edi, Source);
        code.mov(ecx, Words);
        code.mov(eax, 0x1E3779B1);
        code.Label(ref next);
        code.Noise();
        code.stosd();
        code.dec(ecx);
        code.jne(next);
    }

    /// <summary>Fills a page with noise, which a word makes another, or goes on elsewhere unless that is what is there.</summary>
    public static void StoreOrCompareNoise(this Assembler code, AssemblerRegister32 page, AssemblerRegister32 word, bool write, Label wrong)
    {
        const int Before = 16;
        code.mov(esi, Source);
        code.mov(edi, page);
        if (write)
        {
            code.mov(ecx, Words);
            code.rep.movsd();
            code.mov(__[page + (Before * sizeof(uint))], word);
            return;
        }

        code.mov(ecx, Before);
        code.repe.cmpsd();
        code.jne(wrong);
        code.cmp(__[edi], word);
        code.jne(wrong);
        code.add(esi, sizeof(uint));
        code.add(edi, sizeof(uint));
        code.mov(ecx, Words - Before - 1);
        code.repe.cmpsd();
        code.jne(wrong);
    }
}
