using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Kvm;

#pragma warning disable CS1591 // layouts of linux/kvm.h; each field is the kernel's of that name

/// <summary><c>struct kvm_segment</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmSegment
{
    public ulong Base;
    public uint Limit;
    public ushort Selector;
    public byte Type, Present, Dpl, Db, S, L, G, Avl, Unusable;
    private readonly byte _padding;
}

/// <summary><c>struct kvm_dtable</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmDescriptorTable
{
    public ulong Base;
    public ushort Limit;
    private readonly ushort _padding0, _padding1, _padding2;
}

/// <summary><c>struct kvm_sregs</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmSregs
{
    public KvmSegment Cs, Ds, Es, Fs, Gs, Ss, Tr, Ldt;
    public KvmDescriptorTable Gdt, Idt;
    public ulong Cr0, Cr2, Cr3, Cr4, Cr8, Efer, ApicBase;
    public fixed ulong InterruptBitmap[4];
}

/// <summary><c>struct kvm_cpuid_entry2</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmCpuidEntry
{
    /// <summary>The subleaf counts (<c>KVM_CPUID_FLAG_SIGNIFCANT_INDEX</c>).</summary>
    public const uint SignificantIndex = 1;

    public uint Function, Index, Flags, Eax, Ebx, Ecx, Edx;
    private readonly uint _padding0, _padding1, _padding2;
}

/// <summary><c>struct kvm_cpuid2</c> with room for a bounded number of entries.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmCpuid
{
    /// <summary>The kernel's own bound (<c>KVM_MAX_CPUID_ENTRIES</c>).</summary>
    public const int Capacity = 256;

    public uint Count;
    private readonly uint _padding;
    public KvmCpuidEntries Entries;

    [InlineArray(Capacity)]
    public struct KvmCpuidEntries
    {
        private KvmCpuidEntry _first;
    }
}

/// <summary><c>struct kvm_msrs</c> with one entry.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmSingleMsr
{
    public uint Count;
    private readonly uint _padding0;
    public uint Index;
    private readonly uint _padding1;
    public ulong Value;
}

/// <summary><c>struct kvm_msr_list</c> with room.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmMsrList
{
    public const int Capacity = 1023;
    public uint Count;
    public fixed uint Indices[Capacity];
}

/// <summary><c>struct kvm_msr_filter_range</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmMsrFilterRange
{
    public uint Flags, Count, First;
    private readonly uint _padding;
    public nint Bitmap;
}

/// <summary><c>struct kvm_msr_filter</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmMsrFilter
{
    public const int Capacity = 16;
    public uint Flags;
    private readonly uint _padding;
    public KvmMsrFilterRanges Ranges;

    [InlineArray(Capacity)]
    public struct KvmMsrFilterRanges
    {
        private KvmMsrFilterRange _first;
    }
}

/// <summary><c>struct kvm_mp_state</c>'s values (<c>KVM_MP_STATE_*</c>).</summary>
public enum KvmMpState : uint
{
    Runnable = 0,
    Uninitialized = 1,
    InitReceived = 2,
    Halted = 3,
    SipiReceived = 4,
}

/// <summary><c>struct kvm_vcpu_events</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmVcpuEvents
{
    /// <summary>Bits of <see cref="Flags"/> that make the kernel take the member over.</summary>
    public const uint ValidNmiPending = 1, ValidSipiVector = 2, ValidShadow = 4, ValidSmm = 8, ValidPayload = 16;

    public byte ExceptionInjected, ExceptionNumber, ExceptionHasErrorCode, ExceptionPending;
    public uint ExceptionErrorCode;
    public byte InterruptInjected, InterruptNumber, InterruptSoft, InterruptShadow;
    public byte NmiInjected, NmiPending, NmiMasked;
    private readonly byte _padding;
    public uint SipiVector;
    public uint Flags;
    public byte Smm, SmmPending, SmmInsideNmi, SmmLatchedInit;
    public byte TripleFaultPending;
    private fixed byte _reserved[26];
    public byte ExceptionHasPayload;
    public ulong ExceptionPayload;
}

/// <summary><c>struct kvm_debugregs</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmDebugRegisters
{
    public fixed ulong Db[4];
    public ulong Dr6, Dr7, Flags;
    private fixed ulong _reserved[9];
}

/// <summary><c>struct kvm_xcrs</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 392)]
public struct KvmXcrs
{
    [FieldOffset(0)] public uint Count;
    [FieldOffset(4)] public uint Flags;
    [FieldOffset(8)] public uint FirstIndex;
    [FieldOffset(16)] public ulong FirstValue;
}

/// <summary><c>struct kvm_lapic_state</c>: the register page of a local APIC, a register each 16 bytes.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmLapicState
{
    public fixed byte Registers[1024];
}
