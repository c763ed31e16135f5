namespace Hypervisor.Engine.Partitions;

/// <summary>A level of the x86-64 psABI (section 3.1.1, "Processor Architecture"): what CPUID may at most show to a guest.</summary>
public enum ProcessorModel
{
    /// <summary>All that host and backend have.</summary>
    Host = 0,
    /// <summary>SSE2.</summary>
    V1 = 1,
    /// <summary>SSE4.2, POPCNT, CMPXCHG16B.</summary>
    V2 = 2,
    /// <summary>AVX2, BMI, FMA.</summary>
    V3 = 3,
}

/// <summary>Reads model names.</summary>
public static class ProcessorModels
{
    /// <summary>Reads <c>x86-64-v1</c> to <c>x86-64-v3</c>, with or without the prefix; null and empty are the host's own.</summary>
    /// <exception cref="PartitionException">The name is not known.</exception>
    public static ProcessorModel Parse(string? name) => name?.Trim().ToUpperInvariant() switch
    {
        null or "" or "HOST" => ProcessorModel.Host,
        "V1" or "X86-64-V1" => ProcessorModel.V1,
        "V2" or "X86-64-V2" => ProcessorModel.V2,
        "V3" or "X86-64-V3" => ProcessorModel.V3,
        _ => throw new PartitionException($"There is no processor model '{name}': use x86-64-v1, x86-64-v2, x86-64-v3, or leave it out for the host's own."),
    };
}
