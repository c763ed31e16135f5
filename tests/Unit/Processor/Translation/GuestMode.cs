namespace Hypervisor.Tests.Unit.Processor.Translation;

/// <summary>What a <see cref="TranslationMachine"/> runs.</summary>
public enum GuestMode
{
    /// <summary>64-bit code.</summary>
    Long,

    /// <summary>32-bit code with 32-bit page tables.</summary>
    Legacy,

    /// <summary>32-bit code with PAE page tables.</summary>
    Pae,

    /// <summary>32-bit code in long mode.</summary>
    Compatibility,
}
