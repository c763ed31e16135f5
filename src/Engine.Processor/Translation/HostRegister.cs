namespace Hypervisor.Engine.Processor.Translation;

/// <summary>
/// The host's general registers in translated code. Twelve of the guest's live in host registers, those that have implicit uses in
/// their own; four (R10, R11, R14, R15) live in memory near the stack pointer, where processors forward stores without delay.
/// </summary>
internal static class HostRegister
{
    public const int Rax = 0, Rcx = 1, Rdx = 2, Rbx = 3, Rsp = 4, Rbp = 5, Rsi = 6, Rdi = 7, R8 = 8, R9 = 9, R10 = 10, R11 = 11, R12 = 12,
        R13 = 13, R14 = 14, R15 = 15;

    /// <summary>Scratch: shift counts, and the register that JRCXZ tests.</summary>
    public const int Count = Rcx;

    /// <summary>Scratch: the linear address of a memory operand.</summary>
    public const int Address = R14;

    /// <summary>Scratch: index into the translation buffer, then the distance to the host address.</summary>
    public const int Translation = R15;

    /// <summary>Where the guest's RSP lives.</summary>
    public const int GuestStack = R11;

    /// <summary>Where the guest's RCX lives.</summary>
    public const int GuestCount = R10;

    /// <summary>No register.</summary>
    public const int None = -1;

    private static readonly sbyte[] Homes = [Rax, GuestCount, Rdx, Rbx, GuestStack, Rbp, Rsi, Rdi, R8, R9, None, None, R12, R13, None, None];

    /// <summary>The host register that a guest register lives in, or <see cref="None"/>.</summary>
    /// <param name="guest">Number of the guest's register, 0 to 15.</param>
    public static int Home(int guest) => Homes[guest];
}
