using System.Runtime.InteropServices;

namespace Hypervisor.Engine.Native.Files;

/// <summary>A piece of memory for scattered reads and gathered writes: <c>struct iovec</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
public struct IoVector
{
    /// <summary>Address of the first byte.</summary>
    public nint Base;

    /// <summary>Bytes.</summary>
    public nuint Length;
}
