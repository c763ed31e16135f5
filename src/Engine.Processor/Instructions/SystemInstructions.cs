namespace Hypervisor.Engine.Processor;

/// <summary>Instructions of operating systems.</summary>
internal static unsafe partial class SystemInstructions
{
    public static void Register(InstructionTable.Builder table)
    {
    }
}
