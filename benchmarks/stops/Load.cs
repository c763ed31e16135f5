using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Hypervisor.Benchmarks.Stops;

/// <summary>Something that a guest does for ever.</summary>
/// <param name="Name">What.</param>
/// <param name="Emit">Emits it, behind a start that belongs to nobody; RSP is a good stack.</param>
internal sealed record Load(string Name, Action<Assembler> Emit)
{
    /// <summary>Two areas that a load may use, each of so many bytes.</summary>
    public const long Source = 0x100_0000, Destination = 0x200_0000, AreaBytes = 0x80_0000;

    public static IReadOnlyList<Load> All { get; } =
    [
        new("an empty loop", a => Forever(a, _ => { })),
        new("a loop of arithmetic", a => Forever(a, a =>
        {
            for (int n = 0; n < 20; n++)
            {
                a.imul(rax, rbx, 17);
                a.add(rbx, rax);
                a.ror(rbx, 5);
            }
        })),
        new("calls and returns", a =>
        {
            var function = a.CreateLabel();
            Forever(a, a => a.call(function));
            a.Label(ref function);
            a.inc(rax);
            a.ret();
        }),
        new("a copy by registers", a => Forever(a, a =>
        {
            var again = a.CreateLabel();
            a.xor(ecx, ecx);
            a.Label(ref again);
            for (int n = 0; n < 8; n++)
            {
                a.mov(rax, __qword_ptr[rcx + Source + (8 * n)]);
                a.mov(__qword_ptr[rcx + Destination + (8 * n)], rax);
            }

            a.add(ecx, 64);
            a.cmp(ecx, (uint)AreaBytes);
            a.jb(again);
        })),
        new("a copy by vectors", a => Forever(a, a =>
        {
            var again = a.CreateLabel();
            a.xor(ecx, ecx);
            a.Label(ref again);
            for (int n = 0; n < 4; n++)
            {
                a.movups(xmm0, __xmmword_ptr[rcx + Source + (16 * n)]);
                a.movups(__xmmword_ptr[rcx + Destination + (16 * n)], xmm0);
            }

            a.add(ecx, 64);
            a.cmp(ecx, (uint)AreaBytes);
            a.jb(again);
        })),
        new("REP MOVSB of 8 MB", a => Forever(a, a => Move(a, AreaBytes, a => a.rep.movsb()))),
        new("REP MOVSQ of pages", a => Forever(a, a => Move(a, 512, a => a.rep.movsq()))),
        new("REP STOSQ of 8 MB", a => Forever(a, a => Move(a, AreaBytes / 8, a => a.rep.stosq()))),
        new("REP MOVSB downwards", a => Forever(a, a =>
        {
            a.std();
            a.mov(rsi, Source + AreaBytes - 1);
            a.mov(rdi, Destination + AreaBytes - 1);
            a.mov(ecx, (uint)AreaBytes);
            a.rep.movsb();
            a.cld();
        })),
        new("REPE CMPSB of 8 MB", a => Forever(a, a => Move(a, AreaBytes, a => a.repe.cmpsb()))),
    ];

    private static void Move(Assembler a, long count, Action<Assembler> instruction)
    {
        a.mov(rsi, Source);
        a.mov(rdi, Destination);
        a.mov(rcx, count);
        instruction(a);
    }

    private static void Forever(Assembler a, Action<Assembler> body)
    {
        var again = a.CreateLabel();
        a.Label(ref again);
        body(a);
        a.jmp(again);
    }
}
