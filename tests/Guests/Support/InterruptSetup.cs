using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>Code that makes a 32-bit kernel take interrupts through the APICs.</summary>
internal static class InterruptSetup
{
    private const uint DescriptorTable = 0x1_0000;
    private const int LocalApic = unchecked((int)0xFEE0_0000), IoApic = unchecked((int)0xFEC0_0000);
    private const ushort CodeSelector = 0x10;

    /// <summary>Loads an IDT in which one vector leads to a handler, and enables the local APIC.</summary>
    public static void Write(Assembler code, int vector, Action<Assembler> handler)
    {
        const int PresentInterruptGate = 0x8E00;
        // A call leaves the handler's address behind: 32-bit code has no other way to its own place.
        var after = code.CreateLabel();
        code.call(after);
        handler(code);
        code.Label(ref after);
        code.pop(eax);
        code.mov(ecx, eax);
        code.and(eax, 0xFFFF);
        code.or(eax, CodeSelector << 16);
        code.mov(__dword_ptr[DescriptorTable + vector * 8], eax);
        code.and(ecx, unchecked((int)0xFFFF_0000));
        code.or(ecx, PresentInterruptGate);
        code.mov(__dword_ptr[DescriptorTable + vector * 8 + 4], ecx);
        code.mov(eax, (int)DescriptorTable);
        code.push(eax);
        code.push(0x07FF_0000);
        code.lidt(__[esp + 2]);
        code.add(esp, 8);

        // The PICs hear the same lines; nobody has told them their vectors.
        code.Out8(0x21, 0xFF);
        code.Out8(0xA1, 0xFF);

        const int SpuriousVectorRegister = 0xF0, Enable = 0x1FF;
        code.mov(eax, LocalApic);
        code.mov(__dword_ptr[eax + SpuriousVectorRegister], Enable);
    }

    /// <summary>Leads an input of the I/O APIC to a vector of processor 0.</summary>
    public static void RouteIoApic(Assembler code, int input, int vector, bool levelTriggered)
    {
        const int Level = 1 << 15, FirstEntry = 0x10, Window = 0x10;
        code.mov(eax, IoApic);
        code.mov(__dword_ptr[eax], FirstEntry + input * 2 + 1);
        code.mov(__dword_ptr[eax + Window], 0);
        code.mov(__dword_ptr[eax], FirstEntry + input * 2);
        code.mov(__dword_ptr[eax + Window], vector | (levelTriggered ? Level : 0));
    }
}
