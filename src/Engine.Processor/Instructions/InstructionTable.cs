using Iced.Intel;

namespace Hypervisor.Engine.Processor;

/// <summary>The handler of every instruction that the processor knows; all others raise #UD.</summary>
internal static unsafe class InstructionTable
{
    private const int Capacity = 5120;

    // SAFETY: never freed; indexed only through Get and Set, which check the bound.
    private static readonly nint[] Handlers = Build();

    /// <summary>The handler of an instruction.</summary>
    public static delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> Get(Code code) =>
        (delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*>)Handlers[(int)code];

    private static nint[] Build()
    {
        var table = new Builder();
        IntegerInstructions.Register(table);
        SystemInstructions.Register(table);
        SimdInstructions.Register(table);
        X87Instructions.Register(table);
        return table.Handlers;
    }

    /// <summary>Collects the handlers.</summary>
    internal sealed class Builder
    {
        internal nint[] Handlers { get; } = new nint[Capacity];

        internal Builder() => Array.Fill(Handlers, (nint)(delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*>)&Undefined);

        /// <summary>Names the handler of an instruction.</summary>
        public void Set(Code code, delegate*<X86Processor, DecodedInstruction*, DecodedInstruction*> handler) =>
            Handlers[(int)code] = (nint)handler;
    }

    private static DecodedInstruction* Undefined(X86Processor cpu, DecodedInstruction* i)
    {
        cpu.Raise(Vector.InvalidOpcode);
        return null;
    }
}
