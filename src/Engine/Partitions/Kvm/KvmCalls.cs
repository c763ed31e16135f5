using Hypervisor.Engine.Native.Posix;

namespace Hypervisor.Engine.Partitions.Kvm;

/// <summary>Turns the kernel's refusals into exceptions for a person.</summary>
internal static class KvmCalls
{
    /// <summary>Passes a result on, or throws for a negated error number.</summary>
    internal static int Check(int result, string attempt)
    {
        if (result >= 0)
        {
            return result;
        }

        string hint = -result switch
        {
            Errno.ENOMEM => " The host is out of memory for it.",
            Errno.EMFILE => " Raise the limit of open files (ulimit -n).",
            Errno.EBUSY => " Another hypervisor (VirtualBox, VMware) may hold the processor's virtualization.",
            _ => "",
        };
        throw new PartitionException($"KVM could not {attempt}: {Errno.Describe(-result)}.{hint}");
    }
}
