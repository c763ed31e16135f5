namespace Hypervisor.Tests.Guests.Support;

/// <summary>A theory about signals, which Windows does not have.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class UnixTheoryAttribute : TheoryAttribute
{
    public UnixTheoryAttribute()
    {
        if (OperatingSystem.IsWindows())
        {
            Skip = "Windows has no signals that one process sends to another.";
        }
    }
}
