using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A test that needs a userfaultfd.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class UserFaultFactAttribute : FactAttribute
{
    private static readonly Lazy<string> Reason = new(static () =>
    {
        using UserFault? faults = UserFault.TryCreate(out string reason);
        return reason;
    });

    /// <summary>Skips where there is none.</summary>
    public UserFaultFactAttribute()
    {
        if (Reason.Value.Length > 0)
        {
            Skip = Reason.Value;
        }
    }
}
