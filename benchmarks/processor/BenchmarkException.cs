namespace Hypervisor.Benchmarks.Processor;

/// <summary>A measurement cannot be made; the message is for a person.</summary>
internal sealed class BenchmarkException(string message) : Exception(message);
