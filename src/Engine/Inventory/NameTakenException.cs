namespace Hypervisor.Engine.Inventory;

/// <summary>The name for a machine belongs to another one.</summary>
public sealed class NameTakenException : Exception
{
    /// <inheritdoc/>
    public NameTakenException() { }
    /// <inheritdoc/>
    public NameTakenException(string message) : base(message) { }
    /// <inheritdoc/>
    public NameTakenException(string message, Exception inner) : base(message, inner) { }
}
