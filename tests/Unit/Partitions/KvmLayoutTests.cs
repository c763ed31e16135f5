using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Kvm;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Unit.Partitions;

/// <summary>Numbers taken from linux/kvm.h of Linux 6.1 on x86-64 with a C compiler.</summary>
public class KvmLayoutTests
{
    [Fact]
    public void Structures_have_the_sizes_of_the_kernels_header()
    {
        Assert.Equal(2352, Unsafe.SizeOf<KvmRun>());
        Assert.Equal(144, Unsafe.SizeOf<GeneralRegisters>());
        Assert.Equal(24, Unsafe.SizeOf<KvmSegment>());
        Assert.Equal(16, Unsafe.SizeOf<KvmDescriptorTable>());
        Assert.Equal(312, Unsafe.SizeOf<KvmSregs>());
        Assert.Equal(40, Unsafe.SizeOf<KvmCpuidEntry>());
        Assert.Equal(8 + 40 * KvmCpuid.Capacity, Unsafe.SizeOf<KvmCpuid>());
        Assert.Equal(24, Unsafe.SizeOf<KvmSingleMsr>());
        Assert.Equal(4 + 4 * KvmMsrList.Capacity, Unsafe.SizeOf<KvmMsrList>());
        Assert.Equal(24, Unsafe.SizeOf<KvmMsrFilterRange>());
        Assert.Equal(392, Unsafe.SizeOf<KvmMsrFilter>());
        Assert.Equal(64, Unsafe.SizeOf<KvmVcpuEvents>());
        Assert.Equal(128, Unsafe.SizeOf<KvmDebugRegisters>());
        Assert.Equal(392, Unsafe.SizeOf<KvmXcrs>());
        Assert.Equal(1024, Unsafe.SizeOf<KvmLapicState>());
        Assert.Equal(32, Unsafe.SizeOf<KvmMemoryRegion>());
        Assert.Equal(16, Unsafe.SizeOf<KvmDirtyLog>());
        Assert.Equal(8, Unsafe.SizeOf<KvmIrqLevel>());
        Assert.Equal(64, Unsafe.SizeOf<KvmPitConfig>());
        Assert.Equal(112, Unsafe.SizeOf<KvmPitState>());
        Assert.Equal(520, Unsafe.SizeOf<KvmIrqChip>());
        Assert.Equal(48, Unsafe.SizeOf<KvmIrqRoute>());
        Assert.Equal(32, Unsafe.SizeOf<KvmMsi>());
        Assert.Equal(32, Unsafe.SizeOf<KvmIrqFd>());
        Assert.Equal(64, Unsafe.SizeOf<KvmIoEventFd>());
        Assert.Equal(104, Unsafe.SizeOf<KvmEnableCap>());
        Assert.Equal(48, Unsafe.SizeOf<KvmClockData>());
    }

    [Theory]
    [InlineData(nameof(KvmRun.ImmediateExit), 1)]
    [InlineData(nameof(KvmRun.ExitReason), 8)]
    [InlineData(nameof(KvmRun.ReadyForInterruptInjection), 12)]
    [InlineData(nameof(KvmRun.InterruptFlag), 13)]
    [InlineData(nameof(KvmRun.Flags), 14)]
    [InlineData(nameof(KvmRun.Cr8), 16)]
    [InlineData(nameof(KvmRun.ApicBase), 24)]
    [InlineData(nameof(KvmRun.Io), 32)]
    [InlineData(nameof(KvmRun.Mmio), 32)]
    public void The_run_page_has_its_fields_where_the_kernel_has_them(string field, int offset) => Assert.Equal(offset, Offset<KvmRun>(field));

    [Fact]
    public void Members_of_the_run_pages_union_have_their_fields_where_the_kernel_has_them()
    {
        Assert.Equal(1, Offset<KvmRun.IoExit>("Size"));
        Assert.Equal(2, Offset<KvmRun.IoExit>("Port"));
        Assert.Equal(4, Offset<KvmRun.IoExit>("Count"));
        Assert.Equal(8, Offset<KvmRun.IoExit>("DataOffset"));
        Assert.Equal(8, Offset<KvmRun.MmioExit>("Data"));
        Assert.Equal(16, Offset<KvmRun.MmioExit>("Length"));
        Assert.Equal(20, Offset<KvmRun.MmioExit>("IsWrite"));
        Assert.Equal(8, Offset<KvmRun.FailEntryExit>("Cpu"));
        Assert.Equal(4, Offset<KvmRun.InternalErrorExit>("DataCount"));
        Assert.Equal(8, Offset<KvmRun.InternalErrorExit>("Data"));
        Assert.Equal(8, Offset<KvmRun.SystemEventExit>("Data"));
        Assert.Equal(8, Offset<KvmRun.MsrExit>("Reason"));
        Assert.Equal(12, Offset<KvmRun.MsrExit>("Index"));
        Assert.Equal(16, Offset<KvmRun.MsrExit>("Data"));
        Assert.Equal(8, Offset<KvmRun.MemoryFaultExit>("PhysicalAddress"));
    }

    [Fact]
    public void Other_structures_have_their_fields_where_the_kernel_has_them()
    {
        Assert.Equal(8, Offset<KvmSegment>("Limit"));
        Assert.Equal(12, Offset<KvmSegment>("Selector"));
        Assert.Equal(14, Offset<KvmSegment>("Type"));
        Assert.Equal(22, Offset<KvmSegment>("Unusable"));
        Assert.Equal(192, Offset<KvmSregs>("Gdt"));
        Assert.Equal(224, Offset<KvmSregs>("Cr0"));
        Assert.Equal(264, Offset<KvmSregs>("Efer"));
        Assert.Equal(272, Offset<KvmSregs>("ApicBase"));
        Assert.Equal(280, Offset<KvmSregs>("InterruptBitmap"));
        Assert.Equal(12, Offset<KvmCpuidEntry>("Eax"));
        Assert.Equal(8, Offset<KvmSingleMsr>("Index"));
        Assert.Equal(16, Offset<KvmSingleMsr>("Value"));
        Assert.Equal(16, Offset<KvmMsrFilterRange>("Bitmap"));
        Assert.Equal(8, Offset<KvmMsrFilter>("Ranges"));
        Assert.Equal(4, Offset<KvmVcpuEvents>("ExceptionErrorCode"));
        Assert.Equal(8, Offset<KvmVcpuEvents>("InterruptInjected"));
        Assert.Equal(12, Offset<KvmVcpuEvents>("NmiInjected"));
        Assert.Equal(16, Offset<KvmVcpuEvents>("SipiVector"));
        Assert.Equal(20, Offset<KvmVcpuEvents>("Flags"));
        Assert.Equal(24, Offset<KvmVcpuEvents>("Smm"));
        Assert.Equal(28, Offset<KvmVcpuEvents>("TripleFaultPending"));
        Assert.Equal(55, Offset<KvmVcpuEvents>("ExceptionHasPayload"));
        Assert.Equal(56, Offset<KvmVcpuEvents>("ExceptionPayload"));
        Assert.Equal(32, Offset<KvmDebugRegisters>("Dr6"));
        Assert.Equal(8, Offset<KvmXcrs>("FirstIndex"));
        Assert.Equal(16, Offset<KvmXcrs>("FirstValue"));
        Assert.Equal(8, Offset<KvmDirtyLog>("Bitmap"));
        Assert.Equal(8, Offset<KvmMemoryRegion>("GuestAddress"));
        Assert.Equal(24, Offset<KvmMemoryRegion>("HostAddress"));
        Assert.Equal(16, Offset<KvmIrqRoute>("Chip"));
        Assert.Equal(24, Offset<KvmIrqRoute>("MsiData"));
        Assert.Equal(12, Offset<KvmMsi>("Flags"));
        Assert.Equal(12, Offset<KvmIrqFd>("ResampleDescriptor"));
        Assert.Equal(8, Offset<KvmIoEventFd>("Address"));
        Assert.Equal(16, Offset<KvmIoEventFd>("Length"));
        Assert.Equal(20, Offset<KvmIoEventFd>("Descriptor"));
        Assert.Equal(24, Offset<KvmIoEventFd>("Flags"));
        Assert.Equal(8, Offset<KvmEnableCap>("Arguments"));
        Assert.Equal(72, Offset<KvmPitState>("Flags"));
        Assert.Equal(8, Offset<KvmIrqChip>("State"));
        Assert.Equal(8, Offset<KvmClockData>("Flags"));
        Assert.Equal(16, Offset<KvmClockData>("RealTime"));
        Assert.Equal(24, Offset<KvmClockData>("HostTsc"));
    }

    [Theory]
    [InlineData(KvmRequest.SetUserMemoryRegion, typeof(KvmMemoryRegion))]
    [InlineData(KvmRequest.GetDirtyLog, typeof(KvmDirtyLog))]
    [InlineData(KvmRequest.IrqLine, typeof(KvmIrqLevel))]
    [InlineData(KvmRequest.GetIrqChip, typeof(KvmIrqChip))]
    [InlineData(KvmRequest.SetIrqChip, typeof(KvmIrqChip))]
    [InlineData(KvmRequest.CreatePit2, typeof(KvmPitConfig))]
    [InlineData(KvmRequest.GetPit2, typeof(KvmPitState))]
    [InlineData(KvmRequest.SetPit2, typeof(KvmPitState))]
    [InlineData(KvmRequest.IrqFd, typeof(KvmIrqFd))]
    [InlineData(KvmRequest.IoEventFd, typeof(KvmIoEventFd))]
    [InlineData(KvmRequest.SignalMsi, typeof(KvmMsi))]
    [InlineData(KvmRequest.GetClock, typeof(KvmClockData))]
    [InlineData(KvmRequest.SetClock, typeof(KvmClockData))]
    [InlineData(KvmRequest.EnableCap, typeof(KvmEnableCap))]
    [InlineData(KvmRequest.SetMsrFilter, typeof(KvmMsrFilter))]
    [InlineData(KvmRequest.GetRegs, typeof(GeneralRegisters))]
    [InlineData(KvmRequest.SetRegs, typeof(GeneralRegisters))]
    [InlineData(KvmRequest.GetSregs, typeof(KvmSregs))]
    [InlineData(KvmRequest.SetSregs, typeof(KvmSregs))]
    [InlineData(KvmRequest.GetLapic, typeof(KvmLapicState))]
    [InlineData(KvmRequest.SetLapic, typeof(KvmLapicState))]
    [InlineData(KvmRequest.GetVcpuEvents, typeof(KvmVcpuEvents))]
    [InlineData(KvmRequest.SetVcpuEvents, typeof(KvmVcpuEvents))]
    [InlineData(KvmRequest.GetDebugRegs, typeof(KvmDebugRegisters))]
    [InlineData(KvmRequest.SetDebugRegs, typeof(KvmDebugRegisters))]
    [InlineData(KvmRequest.GetXcrs, typeof(KvmXcrs))]
    [InlineData(KvmRequest.SetXcrs, typeof(KvmXcrs))]
    public void A_requests_number_encodes_the_size_of_its_structure(uint request, Type structure)
    {
        // asm-generic/ioctl.h: the size stands in bits 16 to 29.
        var size = typeof(Unsafe).GetMethod(nameof(Unsafe.SizeOf))!.MakeGenericMethod(structure);
        Assert.Equal((int)((request >> 16) & 0x3FFF), (int)size.Invoke(null, null)!);
    }

    private static int Offset<T>(string field) => (int)Marshal.OffsetOf<T>(field);
}
