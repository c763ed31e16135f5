using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Tests.Unit.Partitions;

/// <summary>Sequences that many test guests use.</summary>
internal static class Guest
{
    /// <summary>Offsets of local APIC registers (Intel SDM vol. 3A, table 11-1).</summary>
    public const uint ApicEoi = 0xB0, ApicSpurious = 0xF0, ApicCommandLow = 0x300, ApicCommandHigh = 0x310, ApicTimer = 0x320,
        ApicInitialCount = 0x380, ApicDivide = 0x3E0;

    /// <summary>Reports EAX. Clobbers DX.</summary>
    public static void Report(this Assembler a)
    {
        a.mov(dx, TestMachine.ReportPort);
        a.@out(dx, eax);
    }

    /// <summary>Reports a constant. Clobbers EAX and DX.</summary>
    public static void Report(this Assembler a, uint value)
    {
        a.mov(eax, value);
        a.Report();
    }

    /// <summary>Ends the test.</summary>
    public static void Done(this Assembler a)
    {
        a.mov(dx, TestMachine.DonePort);
        a.@out(dx, al);
        var forever = a.CreateLabel();
        a.Label(ref forever);
        a.jmp(forever);
    }

    /// <summary>Writes a register of the local APIC, in long mode. Clobbers RBX.</summary>
    public static void WriteApic(this Assembler a, uint register, uint value)
    {
        a.mov(rbx, TestMachine.ApicAddress + register);
        a.mov(__dword_ptr[rbx], value);
    }

    /// <summary>Enables the local APIC with spurious vector FFh.</summary>
    public static void EnableApic(this Assembler a) => a.WriteApic(ApicSpurious, 0x1FF);

    /// <summary>An interrupt handler: reports, counts at the data address, tells the APIC, returns.</summary>
    public static Label InterruptHandler(this Assembler a, uint report)
    {
        var handler = a.CreateLabel();
        a.Label(ref handler);
        a.push(rax);
        a.push(rbx);
        a.push(rdx);
        a.Report(report);
        a.inc(__dword_ptr[(long)TestMachine.DataAddress]);
        a.WriteApic(ApicEoi, 0);
        a.pop(rdx);
        a.pop(rbx);
        a.pop(rax);
        a.iretq();
        return handler;
    }

    /// <summary>A fault handler that reports the vector, the error code where there is one, and RIP, and ends the test.</summary>
    public static Label FaultHandler(this Assembler a, byte vector, bool hasErrorCode)
    {
        var handler = a.CreateLabel();
        a.Label(ref handler);
        a.Report(vector);
        if (hasErrorCode)
        {
            a.pop(rax);
            a.Report();
        }

        a.pop(rax);
        a.Report();
        a.Done();
        return handler;
    }
}
