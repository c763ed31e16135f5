namespace Hypervisor.Engine.Processor;

// Where the time goes, by sampling: the processor only notes what it is doing, which is a store; somebody else's clock looks.
public sealed unsafe partial class X86Processor
{
    private volatile ProcessorTier _tier;
    private long _interpretedTicks, _translatedTicks;

    /// <summary>What the processor is doing. Any thread, and after disposal.</summary>
    public ProcessorTier Tier => _tier;

    /// <summary>
    /// Counts the time since the last call as spent in the present <see cref="Tier"/>; the more often it is called, the better is what
    /// <see cref="ProcessorStatistics.InterpretedTime"/> and <see cref="ProcessorStatistics.TranslatedTime"/> say. One thread at a
    /// time, any, and after disposal.
    /// </summary>
    public void SampleTier(TimeSpan elapsed)
    {
        long ticks = elapsed.Ticks;
        switch (_tier)
        {
            case ProcessorTier.Interpreted:
                _interpretedTicks += ticks;
                break;
            case ProcessorTier.Translated:
                _translatedTicks += ticks;
                break;
        }
    }
}

/// <summary>Who executes the guest's instructions.</summary>
public enum ProcessorTier
{
    /// <summary>Nobody: the processor is halted or not run.</summary>
    Stopped,
    /// <summary>The interpreter; devices that an instruction accesses, decoding and translating count as its time.</summary>
    Interpreted,
    /// <summary>The host's processor.</summary>
    Translated,
}
