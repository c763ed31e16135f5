using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Partitions;

/// <summary>General-purpose registers in the order of <c>struct kvm_regs</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct GeneralRegisters
{
#pragma warning disable CS1591 // each field is the register it is named after
    public ulong Rax, Rbx, Rcx, Rdx, Rsi, Rdi, Rsp, Rbp;
    public ulong R8, R9, R10, R11, R12, R13, R14, R15;
    public ulong Rip, Rflags;
#pragma warning restore CS1591
}

/// <summary>A segment register with its hidden part (Intel SDM vol. 3A, 3.4.3).</summary>
public struct SegmentRegister
{
    /// <summary>Linear base address.</summary>
    public ulong Base;
    /// <summary>Limit in bytes, granularity already applied.</summary>
    public uint Limit;
    /// <summary>Visible selector.</summary>
    public ushort Selector;
    /// <summary>
    /// Attributes as in bits 40–55 of a descriptor: type 0–3, S 4, DPL 5–6, P 7, AVL 12, L 13, D/B 14, G 15; bit 16 marks an
    /// unusable (null) register.
    /// </summary>
    public uint Attributes;

    /// <summary>The register holds a null selector.</summary>
    public const uint Unusable = 1u << 16;
}

/// <summary>Base and limit of GDTR or IDTR.</summary>
public struct DescriptorTableRegister
{
    /// <summary>Linear base address.</summary>
    public ulong Base;
    /// <summary>Limit in bytes.</summary>
    public ushort Limit;
}

/// <summary>System registers of a virtual processor.</summary>
public struct SystemRegisters
{
#pragma warning disable CS1591 // each field is the register it is named after
    public SegmentRegister Cs, Ds, Es, Fs, Gs, Ss, Tr, Ldt;
    public DescriptorTableRegister Gdt, Idt;
    public ulong Cr0, Cr2, Cr3, Cr4, Cr8, Efer, ApicBase;
#pragma warning restore CS1591
}
