namespace Hypervisor.Engine.Inventory;

/// <summary>A machine is not in the power state that the operation needs.</summary>
public sealed class PowerStateException : Exception
{
    /// <inheritdoc/>
    public PowerStateException() { }
    /// <inheritdoc/>
    public PowerStateException(string message) : base(message) { }
    /// <inheritdoc/>
    public PowerStateException(string message, Exception inner) : base(message, inner) { }
}
