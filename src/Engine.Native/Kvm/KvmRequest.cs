namespace Hypervisor.Engine.Native.Kvm;

/// <summary>
/// Request numbers of <c>linux/kvm.h</c> on x86-64: direction, size of the argument, type AEh and number, as <c>_IO*</c> composes them.
/// </summary>
public static class KvmRequest
{
#pragma warning disable CS1591 // named after the kernel's requests; Documentation/virt/kvm/api.rst describes each

    // On /dev/kvm.
    public const uint GetApiVersion = 0xAE00, CreateVm = 0xAE01, GetMsrIndexList = 0xC004AE02, CheckExtension = 0xAE03,
        GetVcpuMmapSize = 0xAE04, GetSupportedCpuid = 0xC008AE05, GetMsrFeatureIndexList = 0xC004AE0A;

    // On a VM.
    public const uint CreateVcpu = 0xAE41, GetDirtyLog = 0x4010AE42, SetUserMemoryRegion = 0x4020AE46, SetTssAddress = 0xAE47,
        SetIdentityMapAddress = 0x4008AE48, CreateIrqChip = 0xAE60, IrqLine = 0x4008AE61, GetIrqChip = 0xC208AE62,
        SetIrqChip = 0x8208AE63, SetGsiRouting = 0x4008AE6A, IrqFd = 0x4020AE76, CreatePit2 = 0x4040AE77, SetBootCpuId = 0xAE78,
        IoEventFd = 0x4040AE79, SetClock = 0x4030AE7B, GetClock = 0x8030AE7C, GetPit2 = 0x8070AE9F, SetPit2 = 0x4070AEA0,
        EnableCap = 0x4068AEA3, SignalMsi = 0x4020AEA5, ClearDirtyLog = 0xC018AEC0, SetMsrFilter = 0x4188AEC6;

    // On a virtual processor.
    public const uint Run = 0xAE80, GetRegs = 0x8090AE81, SetRegs = 0x4090AE82, GetSregs = 0x8138AE83, SetSregs = 0x4138AE84,
        Interrupt = 0x4004AE86, GetMsrs = 0xC008AE88, SetMsrs = 0x4008AE89, SetSignalMask = 0x4004AE8B, GetFpu = 0x81A0AE8C,
        SetFpu = 0x41A0AE8D, GetLapic = 0x8400AE8E, SetLapic = 0x4400AE8F, SetCpuid2 = 0x4008AE90, GetCpuid2 = 0xC008AE91,
        GetMpState = 0x8004AE98, SetMpState = 0x4004AE99, Nmi = 0xAE9A, SetGuestDebug = 0x4048AE9B, GetVcpuEvents = 0x8040AE9F,
        SetVcpuEvents = 0x4040AEA0, GetDebugRegs = 0x8080AEA1, SetDebugRegs = 0x4080AEA2, SetTscKhz = 0xAEA2, GetTscKhz = 0xAEA3,
        GetXsave = 0x9000AEA4, SetXsave = 0x5000AEA5, GetXcrs = 0x8188AEA6, SetXcrs = 0x4188AEA7, KvmClockControl = 0xAEAD,
        GetXsave2 = 0x9000AECF;
#pragma warning restore CS1591
}
