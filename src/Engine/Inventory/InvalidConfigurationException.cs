namespace Hypervisor.Engine.Inventory;

/// <summary>A value asked for breaks a rule; the message names the value and the rule.</summary>
public sealed class InvalidConfigurationException : Exception
{
    /// <inheritdoc/>
    public InvalidConfigurationException() { }
    /// <inheritdoc/>
    public InvalidConfigurationException(string message) : base(message) { }
    /// <inheritdoc/>
    public InvalidConfigurationException(string message, Exception inner) : base(message, inner) { }
}
