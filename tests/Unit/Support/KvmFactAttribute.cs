using Hypervisor.Engine.Partitions.Kvm;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A test that needs a usable <c>/dev/kvm</c>; elsewhere it is skipped with the reason.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class KvmFactAttribute : FactAttribute
{
    private static readonly string? Reason = Find();

    public KvmFactAttribute() => Skip = Reason;

    private static string? Find()
    {
        using var device = KvmDevice.TryOpen(out string reason);
        return device is null ? reason : null;
    }
}
