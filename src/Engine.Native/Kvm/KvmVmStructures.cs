using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Kvm;

#pragma warning disable CS1591 // layouts of linux/kvm.h; each field is the kernel's of that name

/// <summary><c>struct kvm_userspace_memory_region</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmMemoryRegion
{
    public const uint LogDirtyPages = 1, ReadOnly = 2;
    public uint Slot, Flags;
    public ulong GuestAddress, Bytes;
    public nint HostAddress;
}

/// <summary><c>struct kvm_dirty_log</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmDirtyLog
{
    public uint Slot;
    private readonly uint _padding;
    public nint Bitmap;
}

/// <summary><c>struct kvm_irq_level</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct KvmIrqLevel
{
    public uint Irq, Level;
}

/// <summary><c>struct kvm_pit_config</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmPitConfig
{
    /// <summary>The kernel answers port 61h (<c>KVM_PIT_SPEAKER_DUMMY</c>).</summary>
    public const uint SpeakerDummy = 1;
    public uint Flags;
    private fixed uint _padding[15];
}

/// <summary><c>struct kvm_pit_state2</c>, taken and given back as a whole.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmPitState
{
    public fixed byte Channels[72];
    public uint Flags;
    private fixed uint _reserved[9];
}

/// <summary><c>struct kvm_irqchip</c>: the state of one of three in-kernel controllers.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmIrqChip
{
    public const uint PicMaster = 0, PicSlave = 1, IoApic = 2;
    public uint Id;
    private readonly uint _padding;
    public fixed byte State[512];
}

/// <summary><c>struct kvm_irq_routing_entry</c>.</summary>
[StructLayout(LayoutKind.Explicit, Size = 48)]
public struct KvmIrqRoute
{
    public const uint TypeIrqChip = 1, TypeMsi = 2;
    [FieldOffset(0)] public uint Gsi;
    [FieldOffset(4)] public uint Type;
    [FieldOffset(8)] public uint Flags;
    [FieldOffset(16)] public uint Chip;
    [FieldOffset(20)] public uint Pin;
    [FieldOffset(16)] public uint MsiAddressLow;
    [FieldOffset(20)] public uint MsiAddressHigh;
    [FieldOffset(24)] public uint MsiData;
}

/// <summary><c>struct kvm_msi</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmMsi
{
    public uint AddressLow, AddressHigh, Data, Flags, DeviceId;
    private fixed byte _padding[12];
}

/// <summary><c>struct kvm_irqfd</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmIrqFd
{
    public const uint Deassign = 1, Resample = 2;
    public int Descriptor;
    public uint Gsi, Flags;
    public int ResampleDescriptor;
    private fixed byte _padding[16];
}

/// <summary><c>struct kvm_ioeventfd</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmIoEventFd
{
    public const uint DataMatchFlag = 1, PortFlag = 2, DeassignFlag = 4;
    public ulong DataMatch, Address;
    public uint Length;
    public int Descriptor;
    public uint Flags;
    private fixed byte _padding[36];
}

/// <summary><c>struct kvm_enable_cap</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmEnableCap
{
    public uint Capability, Flags;
    public fixed ulong Arguments[4];
    private fixed byte _padding[64];
}

/// <summary><c>struct kvm_clock_data</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public unsafe struct KvmClockData
{
    /// <summary>Bits of <see cref="Flags"/>: the TSCs agree; <see cref="RealTime"/> holds; <see cref="HostTsc"/> holds.</summary>
    public const uint TscStable = 2, RealTimeValid = 4, HostTscValid = 8;

    /// <summary>Nanoseconds of the guest's kvmclock.</summary>
    public ulong Clock;
    public uint Flags;
    private readonly uint _padding0;
    /// <summary>Nanoseconds since 1970.</summary>
    public ulong RealTime;
    public ulong HostTsc;
    private fixed uint _padding[4];
}
