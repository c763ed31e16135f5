using System.Runtime.InteropServices;
using Hypervisor.Engine.Native.Memory;

namespace Hypervisor.Engine.Processor;

/// <summary>
/// The host's 16-byte compare and exchange, which .NET does not offer: a few bytes of generated code, where the host is an x86-64
/// with Linux's calling convention and lets a process generate code.
/// </summary>
internal static unsafe class WideAtomics
{
    private const nuint CodeBytes = 4096;

    private static readonly ExecutableMemory? Code = Generate();

    private static readonly delegate* unmanaged[SuppressGCTransition]<ulong*, ulong*, ulong, ulong, byte> Exchange =
        Code == null ? null : (delegate* unmanaged[SuppressGCTransition]<ulong*, ulong*, ulong, ulong, byte>)Code.Executable;

    /// <summary>The host has it.</summary>
    public static bool IsSupported => Exchange != null;

    /// <summary>
    /// Replaces 16 bytes, a multiple of 16, if they hold what is expected; what they held is left in <paramref name="expected"/>.
    /// </summary>
    public static bool CompareExchange(ulong* address, ulong* expected, ulong low, ulong high) =>
        // SAFETY: the code below; it touches the two operands only, and returns in well under a microsecond.
        Exchange(address, expected, low, high) != 0;

    private static ExecutableMemory? Generate()
    {
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64 || !OperatingSystem.IsLinux())
        {
            return null;
        }

        // Arguments in RDI, RSI, RDX, RCX; RBX is the caller's.
        ReadOnlySpan<byte> code =
        [
            0x53, // push rbx
            0x48, 0x89, 0xD3, // mov rbx, rdx
            0x48, 0x8B, 0x06, // mov rax, [rsi]
            0x48, 0x8B, 0x56, 0x08, // mov rdx, [rsi+8]
            0xF0, 0x48, 0x0F, 0xC7, 0x0F, // lock cmpxchg16b [rdi]
            0x48, 0x89, 0x06, // mov [rsi], rax
            0x48, 0x89, 0x56, 0x08, // mov [rsi+8], rdx
            0x0F, 0x94, 0xC0, // sete al
            0x5B, // pop rbx
            0xC3, // ret
        ];
        try
        {
            var memory = ExecutableMemory.Allocate(CodeBytes);
            // SAFETY: the mapping is a page, and the code is shorter.
            code.CopyTo(new Span<byte>((void*)memory.Writable, (int)CodeBytes));
            return memory;
        }
        catch (IOException)
        {
            // Generated code is forbidden here: whoever asks gets a lock instead.
            return null;
        }
    }
}
