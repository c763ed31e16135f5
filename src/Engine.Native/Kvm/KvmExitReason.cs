namespace Hypervisor.Engine.Native.Kvm;

/// <summary>Values of <c>kvm_run.exit_reason</c> (<c>KVM_EXIT_*</c>).</summary>
public enum KvmExitReason : uint
{
#pragma warning disable CS1591 // named after the kernel's exits
    Unknown = 0,
    Exception = 1,
    Io = 2,
    Hypercall = 3,
    Debug = 4,
    Hlt = 5,
    Mmio = 6,
    IrqWindowOpen = 7,
    Shutdown = 8,
    FailEntry = 9,
    Intr = 10,
    InternalError = 17,
    SystemEvent = 24,
    IoApicEoi = 26,
    X86ReadMsr = 29,
    X86WriteMsr = 30,
    MemoryFault = 39,
#pragma warning restore CS1591
}
