namespace Hypervisor.Engine.Storage;

/// <summary>A disk could not be opened; the message is for a person and names the file and the remedy.</summary>
public sealed class StorageException : Exception
{
    /// <inheritdoc/>
    public StorageException() { }
    /// <inheritdoc/>
    public StorageException(string message) : base(message) { }
    /// <inheritdoc/>
    public StorageException(string message, Exception inner) : base(message, inner) { }
}
