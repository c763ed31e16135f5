namespace Hypervisor.Tests.Unit.Processor.Oracle;

/// <summary>
/// Where things lie, natively and in the interpreter's guest alike, so that addresses in registers and memory compare equal. All
/// below 2 GB: reachable by displacement alone and with 32-bit addressing.
/// </summary>
internal static class OracleLayout
{
    public const ulong Base = 0x3000_0000;
    public const ulong Length = 0x0040_0000;

    /// <summary>The block under test.</summary>
    public const ulong Code = Base + 0x0010_0000;

    /// <summary>Native only: entry, exit and signal handler; then the context block.</summary>
    public const ulong Stubs = Base + 0x0010_1000;
    public const ulong Context = Base + 0x0010_2000;

    /// <summary>Scratch memory, with unmapped space of 1 MB on both sides.</summary>
    public const ulong Data = Base + 0x0020_0000;
    public const int DataBytes = 0x2000;
}
