using Hypervisor.Engine.Native.Kvm;
using Hypervisor.Engine.Native.Posix;

namespace Hypervisor.Engine.Partitions.Kvm;

/// <summary>The opened <c>/dev/kvm</c> with what is the same for all partitions of the host.</summary>
internal sealed class KvmDevice : IDisposable
{
    internal const string Path = "/dev/kvm";

    /// <summary>The only version there has been since Linux 2.6.22.</summary>
    private const int ApiVersion = 12;

    /// <summary>What this backend does not run without; all are in Linux 4.12 and later.</summary>
    private static readonly KvmCapability[] Required =
    [
        KvmCapability.IrqChip, KvmCapability.UserMemory, KvmCapability.SetTssAddress, KvmCapability.SetIdentityMapAddress,
        KvmCapability.ExtendedCpuid, KvmCapability.MpState, KvmCapability.IrqRouting, KvmCapability.SignalMsi, KvmCapability.Pit2,
        KvmCapability.IrqFd, KvmCapability.IoEventFd, KvmCapability.ReadOnlyMemory, KvmCapability.VcpuEvents,
        KvmCapability.DebugRegs, KvmCapability.Xsave, KvmCapability.ImmediateExit,
    ];

    private KvmDevice(FileDescriptor descriptor)
    {
        Descriptor = descriptor;
        RunPageBytes = descriptor.Control(KvmRequest.GetVcpuMmapSize);
        MaxProcessors = Math.Max(Check(KvmCapability.MaxVcpus), 1);
    }

    internal FileDescriptor Descriptor { get; }

    /// <summary>Bytes of the mapping that a virtual processor shares with the kernel.</summary>
    internal int RunPageBytes { get; }

    internal int MaxProcessors { get; }

    /// <summary>Opens the device; null and a sentence for a person where that is not possible.</summary>
    internal static KvmDevice? TryOpen(out string reason)
    {
        if (!OperatingSystem.IsLinux())
        {
            reason = "KVM is a part of Linux; this is another operating system.";
            return null;
        }

        if (System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture != System.Runtime.InteropServices.Architecture.X64)
        {
            reason = "KVM runs guests of the host's own architecture, and this host is no x86-64.";
            return null;
        }

        int error = -FileDescriptor.TryOpen(Path, out var descriptor);
        if (descriptor is null)
        {
            reason = Explain(error);
            return null;
        }

        int version = descriptor.Control(KvmRequest.GetApiVersion);
        if (version != ApiVersion)
        {
            reason = $"{Path} speaks version {version} of its interface; {ApiVersion} is needed.";
            descriptor.Dispose();
            return null;
        }

        var device = new KvmDevice(descriptor);
        var missing = Required.Where(capability => device.Check(capability) <= 0).ToArray();
        if (missing.Length > 0 || device.RunPageBytes < 2 * 4096)
        {
            reason = $"{Path} lacks {(missing.Length > 0 ? string.Join(", ", missing) : "a usable run page")}: Linux 4.12 or later on a full KVM is needed.";
            device.Dispose();
            return null;
        }

        reason = "";
        return device;
    }

    /// <summary>Why the device could not be opened and what to do about it.</summary>
    internal static string Explain(int error) => error switch
    {
        Errno.ENOENT => $"{Path} is absent: load the module (modprobe kvm_intel or kvm_amd), turn virtualization on in the firmware setup, or allow nested virtualization where this host is itself a virtual machine.",
        Errno.EACCES or Errno.EPERM => $"{Path} may not be opened by this user: add the user to its group (sudo usermod -aG kvm $USER) and log in again.",
        Errno.ENODEV or Errno.ENXIO => $"{Path} is there without a driver behind it: the processor offers no VT-x or AMD-V, or the firmware has it turned off.",
        _ => $"{Path} could not be opened: {Errno.Describe(error)}.",
    };

    /// <summary>The value of a capability; 0 where it is not there.</summary>
    internal int Check(KvmCapability capability) => Math.Max(Descriptor.Control(KvmRequest.CheckExtension, (nint)capability), 0);

    /// <summary>CPUID leaves that the host's processor and kernel can give to a guest.</summary>
    internal KvmCpuidEntry[] GetSupportedCpuid()
    {
        var cpuid = new KvmCpuid { Count = KvmCpuid.Capacity };
        KvmCalls.Check(Descriptor.Control(KvmRequest.GetSupportedCpuid, ref cpuid), "list its CPUID leaves");
        return ((ReadOnlySpan<KvmCpuidEntry>)cpuid.Entries)[..(int)cpuid.Count].ToArray();
    }

    /// <summary>Model-specific registers whose contents make up a processor's state.</summary>
    internal unsafe uint[] GetMsrIndices()
    {
        var list = new KvmMsrList { Count = KvmMsrList.Capacity };
        KvmCalls.Check(Descriptor.Control(KvmRequest.GetMsrIndexList, ref list), "list its model-specific registers");

        // SAFETY: the kernel never writes more than the capacity it was given.
        return new ReadOnlySpan<uint>(list.Indices, (int)list.Count).ToArray();
    }

    /// <summary>True where the kernel knows a feature register (those that describe the processor, such as 10Ah).</summary>
    internal bool KnowsFeatureMsr(uint index)
    {
        var msr = new KvmSingleMsr { Count = 1, Index = index };
        return Descriptor.Control(KvmRequest.GetMsrs, ref msr) == 1;
    }

    /// <inheritdoc/>
    public void Dispose() => Descriptor.Dispose();
}
