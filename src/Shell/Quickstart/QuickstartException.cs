namespace Hypervisor.Shell;

/// <summary>Quickstart cannot go on; the message says why and what to do instead.</summary>
internal sealed class QuickstartException : Exception
{
    public QuickstartException() { }
    public QuickstartException(string message) : base(message) { }
    public QuickstartException(string message, Exception inner) : base(message, inner) { }
}
