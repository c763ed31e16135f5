using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>A theory on a small file system that a user mounts.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class SmallDiskTheoryAttribute : TheoryAttribute
{
    public SmallDiskTheoryAttribute() => Skip = new SmallDiskFactAttribute().Skip;
}
