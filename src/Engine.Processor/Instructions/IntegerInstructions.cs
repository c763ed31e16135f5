namespace Hypervisor.Engine.Processor;

/// <summary>General-purpose instructions.</summary>
internal static unsafe partial class IntegerInstructions
{
    public static void Register(InstructionTable.Builder table)
    {
    }
}
