using Hypervisor.Engine.Native.Timing;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A test that binds threads to one or the other of two processors; Linux only.</summary>
public sealed class TwoProcessorsFactAttribute : FactAttribute
{
    public TwoProcessorsFactAttribute() => Skip =
        !OperatingSystem.IsLinux() ? "Threads are bound to processors on Linux only."
        : ThreadAffinity.Of(0).Length < 2 ? "This process may use one processor only."
        : null;
}
