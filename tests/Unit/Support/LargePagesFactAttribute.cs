namespace Hypervisor.Tests.Unit.Support;

/// <summary>A test of large pages, which the host's kernel has and its administrator has not forbidden.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class LargePagesFactAttribute : FactAttribute
{
    public LargePagesFactAttribute() => Skip = ProcessMappings.HasLargePages ? null : "The host has no transparent huge pages, or its administrator forbids them (transparent_hugepage/enabled is never).";
}
