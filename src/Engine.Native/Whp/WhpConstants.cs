namespace Hypervisor.Engine.Native.Whp;

#pragma warning disable CS1591 // named after WinHvPlatformDefs.h

/// <summary><c>WHV_CAPABILITY_CODE</c>.</summary>
public enum WhpCapability : uint
{
    HypervisorPresent = 0,
    Features = 1,
    ExtendedVmExits = 2,
    ProcessorVendor = 0x1000,
    ProcessorFeatures = 0x1001,
    ProcessorXsaveFeatures = 0x1003,
    ProcessorClockFrequency = 0x1004,
    InterruptClockFrequency = 0x1005,
}

/// <summary>Bits of <see cref="WhpCapability.Features"/>.</summary>
[Flags]
public enum WhpFeatures : ulong
{
    None = 0,
    PartialUnmap = 1,
    LocalApicEmulation = 2,
    Xsave = 4,
    DirtyPageTracking = 8,
    SpeculationControl = 16,
}

/// <summary>Bits of <see cref="WhpProperty.ExtendedVmExits"/>.</summary>
[Flags]
public enum WhpExtendedExits : ulong
{
    None = 0,
    Cpuid = 1,
    Msr = 2,
    Exception = 4,
}

/// <summary><c>WHV_PARTITION_PROPERTY_CODE</c>.</summary>
public enum WhpProperty : uint
{
    ExtendedVmExits = 1,
    ExceptionExitBitmap = 2,
    X64MsrExitBitmap = 5,
    ProcessorFeatures = 0x1001,
    CpuidExitList = 0x1003,
    CpuidResultList = 0x1004,
    LocalApicEmulationMode = 0x1005,
    ProcessorXsaveFeatures = 0x1006,
    ProcessorClockFrequency = 0x1007,
    InterruptClockFrequency = 0x1008,
    ProcessorCount = 0x1FFF,
}

/// <summary><c>WHV_X64_LOCAL_APIC_EMULATION_MODE</c>.</summary>
public enum WhpLocalApicMode : uint
{
    None = 0,
    XApic = 1,
    X2Apic = 2,
}

/// <summary><c>WHV_MAP_GPA_RANGE_FLAGS</c>.</summary>
[Flags]
public enum WhpMapFlags : uint
{
    None = 0,
    Read = 1,
    Write = 2,
    Execute = 4,
    TrackDirtyPages = 8,
}

/// <summary><c>WHV_RUN_VP_EXIT_REASON</c>.</summary>
public enum WhpExitReason : uint
{
    None = 0,
    MemoryAccess = 1,
    IoPortAccess = 2,
    UnrecoverableException = 4,
    InvalidRegisterValue = 5,
    UnsupportedFeature = 6,
    InterruptWindow = 7,
    Halt = 8,
    ApicEoi = 9,
    MsrAccess = 0x1000,
    Cpuid = 0x1001,
    Exception = 0x1002,
    Canceled = 0x2001,
}

/// <summary><c>WHV_INTERRUPT_TYPE</c>.</summary>
public enum WhpInterruptType : uint
{
    Fixed = 0,
    LowestPriority = 1,
    Nmi = 4,
    Init = 5,
    Sipi = 6,
}

/// <summary><c>WHV_REGISTER_NAME</c>.</summary>
public enum WhpRegister : uint
{
    Rax = 0, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15, Rip, Rflags,
    Es = 0x12, Cs, Ss, Ds, Fs, Gs, Ldtr, Tr, Idtr, Gdtr,
    Cr0 = 0x1C, Cr2, Cr3, Cr4, Cr8,
    Dr0 = 0x21, Dr1, Dr2, Dr3, Dr6, Dr7,
    XCr0 = 0x27,
    Tsc = 0x2000, Efer, KernelGsBase, ApicBase, Pat, SysenterCs, SysenterEip, SysenterEsp, Star, Lstar, Cstar, Sfmask,
    MtrrCap = 0x200D, MtrrDefType,
    MtrrPhysBase0 = 0x2010,
    MtrrPhysMask0 = 0x2040,
    MtrrFix64k00000 = 0x2070, MtrrFix16k80000, MtrrFix16kA0000, MtrrFix4kC0000, MtrrFix4kC8000, MtrrFix4kD0000, MtrrFix4kD8000,
    MtrrFix4kE0000, MtrrFix4kE8000, MtrrFix4kF0000, MtrrFix4kF8000,
    TscAux = 0x207B,
    SpecCtrl = 0x2084,
    TscDeadline = 0x2095, TscAdjust,
    ApicLvtLint0 = 0x3035,
    PendingInterruption = 0x8000_0000, InterruptState, PendingEvent,
    DeliverabilityNotifications = 0x8000_0004, InternalActivityState,
}
