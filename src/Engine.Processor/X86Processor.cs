namespace Hypervisor.Engine.Processor;

/// <summary>An x86-64 processor in software.</summary>
public sealed class X86Processor
{
    /// <summary>Drops cached host addresses of guest-physical pages (the memory map changed). Any thread; takes effect before the next access after the processor was stopped.</summary>
    public void FlushPhysicalMappings()
    {
    }

    /// <summary>Makes <c>Run</c> return soon; sticky. Any thread.</summary>
    public void RequestStop()
    {
    }

    /// <summary>The local APIC's <see cref="ILocalApic.HasInterrupt"/> may have become true. Any thread.</summary>
    public void SignalInterrupt()
    {
    }
}
