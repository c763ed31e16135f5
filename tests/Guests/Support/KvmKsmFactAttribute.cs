using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>A test that has the kernel merge equal pages of machines on KVM.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class KvmKsmFactAttribute : FactAttribute
{
    public KvmKsmFactAttribute() => Skip = Backends.Has(BackendKind.Kvm) ? KsmFactAttribute.Find() : "KVM cannot be used here.";
}
