namespace Hypervisor.Engine.Monitoring.Statistics;

/// <summary>Statistics could not be read or recorded; the message is for a person and names the file and the remedy.</summary>
public sealed class StatisticsException : Exception
{
    /// <inheritdoc/>
    public StatisticsException() { }
    /// <inheritdoc/>
    public StatisticsException(string message) : base(message) { }
    /// <inheritdoc/>
    public StatisticsException(string message, Exception inner) : base(message, inner) { }
}
