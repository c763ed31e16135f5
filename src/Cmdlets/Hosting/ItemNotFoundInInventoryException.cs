namespace Hypervisor.Cmdlets.Hosting;

/// <summary>A name stands for nothing in the inventory.</summary>
public sealed class ItemNotFoundInInventoryException : Exception
{
    /// <inheritdoc/>
    public ItemNotFoundInInventoryException() { }
    /// <inheritdoc/>
    public ItemNotFoundInInventoryException(string message) : base(message) { }
    /// <inheritdoc/>
    public ItemNotFoundInInventoryException(string message, Exception inner) : base(message, inner) { }
}
