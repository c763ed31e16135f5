namespace Hypervisor.Shell.Language;

/// <summary>What was typed makes no sense to <c>hv</c>: exit code 2.</summary>
public sealed class UsageException : Exception
{
    /// <inheritdoc/>
    public UsageException() { }
    /// <inheritdoc/>
    public UsageException(string message) : base(message) { }
    /// <inheritdoc/>
    public UsageException(string message, Exception inner) : base(message, inner) { }

    /// <summary>It ends in the middle of something, and would make sense with more lines.</summary>
    internal bool IsUnfinished { get; private init; }

    /// <summary>The text ends in the middle of something.</summary>
    internal static UsageException Unfinished(string message) => new(message) { IsUnfinished = true };

    /// <summary>What was typed is PowerShell's language rather than hv's.</summary>
    internal static UsageException NeedsPowerShell(string what) => new(
        $"{what} hv knows commands, parameters, pipes and literals, and no more. For scripts use PowerShell: pwsh, then Import-Module Hypervisor.");
}
