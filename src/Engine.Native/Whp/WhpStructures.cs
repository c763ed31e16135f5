using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Whp;

#pragma warning disable CS1591 // layouts of WinHvPlatformDefs.h and WinHvEmulation.h; fields are named after theirs

/// <summary><c>WHV_X64_SEGMENT_REGISTER</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct WhpSegment
{
    public ulong Base;
    public uint Limit;
    public ushort Selector;
    /// <summary>Bits 40 to 55 of a descriptor.</summary>
    public ushort Attributes;
}

/// <summary><c>WHV_X64_TABLE_REGISTER</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct WhpTable
{
    [FieldOffset(6)] public ushort Limit;
    [FieldOffset(8)] public ulong Base;
}

/// <summary><c>WHV_REGISTER_VALUE</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
public struct WhpRegisterValue
{
    [FieldOffset(0)] public ulong Low;
    [FieldOffset(8)] public ulong High;
    [FieldOffset(0)] public WhpSegment Segment;
    [FieldOffset(0)] public WhpTable Table;
}

/// <summary><c>WHV_VP_EXIT_CONTEXT</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
public struct WhpProcessorContext
{
    /// <summary>Bit 6 of <see cref="ExecutionState"/>: an event waits to be delivered.</summary>
    public const ushort InterruptionPending = 1 << 6;

    /// <summary>Bit 12 of <see cref="ExecutionState"/>: behind STI or MOV SS.</summary>
    public const ushort InterruptShadow = 1 << 12;

    [FieldOffset(0)] public ushort ExecutionState;
    /// <summary>Length of the instruction in bits 0–3, CR8 in 4–7.</summary>
    [FieldOffset(2)] public byte LengthAndCr8;
    [FieldOffset(8)] public WhpSegment Cs;
    [FieldOffset(24)] public ulong Rip;
    [FieldOffset(32)] public ulong Rflags;

    public readonly int InstructionLength => LengthAndCr8 & 15;
}

/// <summary><c>WHV_MEMORY_ACCESS_CONTEXT</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 40)]
public unsafe struct WhpMemoryAccess
{
    [FieldOffset(0)] public byte InstructionByteCount;
    [FieldOffset(4)] public fixed byte InstructionBytes[16];
    /// <summary>Bits 0–1: read, write, execute; 2: nothing is mapped there; 3: <see cref="Gva"/> holds.</summary>
    [FieldOffset(20)] public uint AccessInfo;
    [FieldOffset(24)] public ulong Gpa;
    [FieldOffset(32)] public ulong Gva;
}

/// <summary><c>WHV_X64_IO_PORT_ACCESS_CONTEXT</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 96)]
public unsafe struct WhpIoPortAccess
{
    public const uint WriteFlag = 1, StringFlag = 1 << 4, RepeatFlag = 1 << 5;

    [FieldOffset(0)] public byte InstructionByteCount;
    [FieldOffset(4)] public fixed byte InstructionBytes[16];
    /// <summary>Bit 0: OUT; 1–3: size in bytes; 4: string instruction; 5: repeated.</summary>
    [FieldOffset(20)] public uint AccessInfo;
    [FieldOffset(24)] public ushort Port;
    [FieldOffset(32)] public ulong Rax;
    [FieldOffset(40)] public ulong Rcx;
    [FieldOffset(48)] public ulong Rsi;
    [FieldOffset(56)] public ulong Rdi;
    [FieldOffset(64)] public WhpSegment Ds;
    [FieldOffset(80)] public WhpSegment Es;
}

/// <summary><c>WHV_X64_MSR_ACCESS_CONTEXT</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct WhpMsrAccess
{
    public uint IsWrite;
    public uint Number;
    public ulong Rax;
    public ulong Rdx;
}

/// <summary><c>WHV_X64_CPUID_ACCESS_CONTEXT</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct WhpCpuidAccess
{
    public ulong Rax, Rcx, Rdx, Rbx, DefaultRax, DefaultRcx, DefaultRdx, DefaultRbx;
}

/// <summary><c>WHV_RUN_VP_EXIT_CONTEXT</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 224)]
public struct WhpExitContext
{
    [FieldOffset(0)] public WhpExitReason Reason;
    [FieldOffset(8)] public WhpProcessorContext Processor;
    [FieldOffset(48)] public WhpMemoryAccess Memory;
    [FieldOffset(48)] public WhpIoPortAccess IoPort;
    [FieldOffset(48)] public WhpMsrAccess Msr;
    [FieldOffset(48)] public WhpCpuidAccess Cpuid;
    [FieldOffset(48)] public uint ApicEoiVector;
    [FieldOffset(48)] public uint UnsupportedFeature;
}

/// <summary><c>WHV_INTERRUPT_CONTROL</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct WhpInterruptControl
{
    /// <summary>Type in bits 0–7, destination mode in 8–11 (1 is logical), trigger mode in 12–15 (1 is level).</summary>
    public ulong Control;
    public uint Destination;
    public uint Vector;
}

/// <summary><c>WHV_EMULATOR_MEMORY_ACCESS_INFO</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 24)]
public unsafe struct WhpEmulatorMemoryAccess
{
    [FieldOffset(0)] public ulong Gpa;
    /// <summary>0 is a read, 1 a write.</summary>
    [FieldOffset(8)] public byte Direction;
    [FieldOffset(9)] public byte AccessSize;
    [FieldOffset(10)] public fixed byte Data[8];
}

/// <summary><c>WHV_EMULATOR_IO_ACCESS_INFO</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 12)]
public struct WhpEmulatorIoAccess
{
    /// <summary>0 is IN, 1 is OUT.</summary>
    [FieldOffset(0)] public byte Direction;
    [FieldOffset(2)] public ushort Port;
    [FieldOffset(4)] public ushort AccessSize;
    [FieldOffset(8)] public uint Data;
}

/// <summary><c>WHV_EMULATOR_CALLBACKS</c>: every callback answers an HRESULT and gets the context handed to the emulation.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct WhpEmulatorCallbacks
{
    public uint Size;
    private readonly uint _reserved;
    public delegate* unmanaged<nint, WhpEmulatorIoAccess*, int> IoPort;
    public delegate* unmanaged<nint, WhpEmulatorMemoryAccess*, int> Memory;
    public delegate* unmanaged<nint, WhpRegister*, uint, WhpRegisterValue*, int> GetRegisters;
    public delegate* unmanaged<nint, WhpRegister*, uint, WhpRegisterValue*, int> SetRegisters;
    public delegate* unmanaged<nint, ulong, uint, uint*, ulong*, int> TranslateAddress;
}
