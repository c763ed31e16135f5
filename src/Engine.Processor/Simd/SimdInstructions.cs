namespace Hypervisor.Engine.Processor;

/// <summary>MMX and SSE.</summary>
internal static class SimdInstructions
{
    public static void Register(InstructionTable.Builder table)
    {
    }
}
