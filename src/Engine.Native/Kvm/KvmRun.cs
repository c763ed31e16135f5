using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Kvm;

/// <summary>The start of <c>struct kvm_run</c>, the page shared with the kernel by one virtual processor.</summary>
[StructLayout(LayoutKind.Explicit, Size = 2352)]
public unsafe struct KvmRun
{
#pragma warning disable CS1591 // each field is the kernel's of that name
    [FieldOffset(0)] public byte RequestInterruptWindow;
    [FieldOffset(1)] public byte ImmediateExit;
    [FieldOffset(8)] public KvmExitReason ExitReason;
    [FieldOffset(12)] public byte ReadyForInterruptInjection;
    [FieldOffset(13)] public byte InterruptFlag;
    [FieldOffset(14)] public ushort Flags;
    [FieldOffset(16)] public ulong Cr8;
    [FieldOffset(24)] public ulong ApicBase;

    // The union; which member holds is told by ExitReason.
    [FieldOffset(32)] public IoExit Io;
    [FieldOffset(32)] public MmioExit Mmio;
    [FieldOffset(32)] public FailEntryExit FailEntry;
    [FieldOffset(32)] public InternalErrorExit InternalError;
    [FieldOffset(32)] public SystemEventExit SystemEvent;
    [FieldOffset(32)] public MsrExit Msr;
    [FieldOffset(32)] public MemoryFaultExit MemoryFault;
    [FieldOffset(32)] public byte EoiVector;
    [FieldOffset(32)] public ulong HardwareExitReason;

    [StructLayout(LayoutKind.Sequential)]
    public struct IoExit
    {
        /// <summary>0 is IN, 1 is OUT.</summary>
        public byte Direction;
        public byte Size;
        public ushort Port;
        public uint Count;
        /// <summary>Where the values are, in bytes from the start of the page.</summary>
        public ulong DataOffset;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct MmioExit
    {
        public ulong PhysicalAddress;
        public fixed byte Data[8];
        public uint Length;
        public byte IsWrite;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct FailEntryExit
    {
        public ulong HardwareReason;
        public uint Cpu;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct InternalErrorExit
    {
        public uint SubError;
        public uint DataCount;
        public fixed ulong Data[16];
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct SystemEventExit
    {
        public uint Type;
        public uint DataCount;
        public fixed ulong Data[16];
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct MsrExit
    {
        /// <summary>Written by us: 0 completes the instruction, 1 raises #GP(0).</summary>
        public byte Error;
        private fixed byte _padding[7];
        public uint Reason;
        public uint Index;
        public ulong Data;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct MemoryFaultExit
    {
        public ulong Flags;
        public ulong PhysicalAddress;
        public ulong Size;
    }
#pragma warning restore CS1591
}
