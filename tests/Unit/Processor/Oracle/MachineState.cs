using System.Runtime.InteropServices;

namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>Registers before or after a test; the first part of the native context block.</summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MachineState
{
    public fixed ulong Gpr[16];
    public ulong Rflags;

    /// <summary>RIP of a fault.</summary>
    public ulong Rip;

    /// <summary>Vector of the fault; -1 when the block ran to its end.</summary>
    public long Vector;
    public ulong ErrorCode;
    public ulong Cr2;

    /// <summary>An FXSAVE image.</summary>
    public fixed byte Fx[512];

    /// <summary>The upper halves of YMM0 to YMM15; left alone where the host has no AVX.</summary>
    public fixed byte Upper[256];
}
