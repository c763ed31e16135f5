namespace Hypervisor.Engine.Native.Posix;

/// <summary>Error numbers of Linux on x86-64 (<c>asm-generic/errno-base.h</c>) that callers tell apart.</summary>
public static class Errno
{
#pragma warning disable CS1591 // each constant is the error it is named after
    public const int EPERM = 1, ENOENT = 2, EINTR = 4, ENXIO = 6, E2BIG = 7, EBADF = 9, EAGAIN = 11, ENOMEM = 12, EACCES = 13,
        EFAULT = 14, EBUSY = 16, EEXIST = 17, ENODEV = 19, EINVAL = 22, EMFILE = 24, ENOSPC = 28, EHWPOISON = 133;
#pragma warning restore CS1591

    /// <summary>The system's words for an error number.</summary>
    public static string Describe(int error) => System.Runtime.InteropServices.Marshal.GetPInvokeErrorMessage(error);
}
