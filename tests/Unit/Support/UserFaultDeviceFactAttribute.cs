using Hypervisor.Engine.Native.Posix;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A test that needs the right to open <c>/dev/userfaultfd</c>.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class UserFaultDeviceFactAttribute : FactAttribute
{
    private static readonly string? Reason = Find();

    public UserFaultDeviceFactAttribute() => Skip = Reason;

    private static string? Find()
    {
        if (!OperatingSystem.IsLinux())
        {
            return "userfaultfd is a part of Linux.";
        }

        int result = FileDescriptor.TryOpen("/dev/userfaultfd", out var device);
        device?.Dispose();
        return device is null ? $"/dev/userfaultfd cannot be opened: {Errno.Describe(-result)}." : null;
    }
}
