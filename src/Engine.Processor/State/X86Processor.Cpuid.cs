namespace Hypervisor.Engine.Processor;

// CPUID.
public sealed unsafe partial class X86Processor
{
    // Family 6, model 85, stepping 4.
    internal const uint SignatureEax = 0x0005_0654;
}
