using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A test that has the kernel merge equal pages (KSM): it turns the kernel's search on, and puts it back as it was.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class KsmFactAttribute : FactAttribute
{
    private static readonly string? Reason = Find();

    public KsmFactAttribute() => Skip = Reason;

    internal static string? Find()
    {
        if (!KernelMerging.IsPossible)
        {
            return "This host's kernel does not merge equal pages (KSM), or this user may not have it do so.";
        }

        using var faults = UserFault.TryCreate(out string reason);
        return faults is null ? reason : faults.CanMove ? null : "This kernel's userfaultfd cannot move pages (Linux 6.8 and later can).";
    }
}
