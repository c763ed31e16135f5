namespace Hypervisor.Engine.Native.Kvm;

/// <summary>Capabilities for <see cref="KvmRequest.CheckExtension"/> and <see cref="KvmRequest.EnableCap"/> (<c>KVM_CAP_*</c>).</summary>
public enum KvmCapability
{
#pragma warning disable CS1591 // named after the kernel's capabilities
    IrqChip = 0,
    UserMemory = 3,
    SetTssAddress = 4,
    ExtendedCpuid = 7,
    RecommendedVcpus = 9,
    MemorySlots = 10,
    MpState = 14,
    SyncMmu = 16,
    UserNmi = 22,
    IrqRouting = 25,
    IrqFd = 32,
    Pit2 = 33,
    PitState2 = 35,
    IoEventFd = 36,
    SetIdentityMapAddress = 37,
    AdjustClock = 39,
    VcpuEvents = 41,
    DebugRegs = 50,
    Xsave = 55,
    Xcrs = 56,
    TscControl = 60,
    GetTscKhz = 61,
    MaxVcpus = 66,
    TscDeadlineTimer = 72,
    KvmClockControl = 76,
    SignalMsi = 77,
    ReadOnlyMemory = 81,
    CheckExtensionOnVm = 105,
    IoEventFdAnyLength = 122,
    MaxVcpuId = 128,
    X2ApicApi = 129,
    ImmediateExit = 136,
    X86UserSpaceMsr = 188,
    X86MsrFilter = 189,
    Xsave2 = 208,
#pragma warning restore CS1591
}
