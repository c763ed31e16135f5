namespace Hypervisor.Engine.Processor;

/// <summary>The x87 floating-point unit.</summary>
internal static class X87Instructions
{
    public static void Register(InstructionTable.Builder table)
    {
    }
}
