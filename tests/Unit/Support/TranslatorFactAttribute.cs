using Hypervisor.Engine.Processor;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>A test of translated code: skipped where the host cannot run any.</summary>
public sealed class TranslatorFactAttribute : FactAttribute
{
    public TranslatorFactAttribute()
    {
        if (!TranslationSupport.IsAvailable)
        {
            Skip = TranslationSupport.Reason;
        }
    }
}
