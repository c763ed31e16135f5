namespace Hypervisor.Benchmarks.Memory.Guests;

/// <summary>Guests on one platform.</summary>
internal abstract class Fleet : IDisposable
{
    protected static readonly TimeSpan Patience = TimeSpan.FromMinutes(30);

    /// <summary>What it is, for the table.</summary>
    public abstract string Name { get; }

    /// <summary>Waits until each guest prints a text that it has not printed before.</summary>
    public abstract Task Expect(string text);

    /// <summary>Types a line at each guest.</summary>
    public abstract Task Type(string line);

    /// <summary>MB of host memory that guest memory takes, as the operating system counts it.</summary>
    public abstract double HostMB();

    /// <summary>What was reclaimed in which way, MB; empty where nothing is.</summary>
    public abstract IReadOnlyList<(string Technique, double MB)> Reclaimed();

    /// <summary>What the guests printed.</summary>
    public abstract IReadOnlyList<string> Output { get; }

    public abstract void Dispose();

    /// <summary>Whether a guest's kernel gave up: it will not print what it is waited for.</summary>
    protected static bool HasPanicked(string output) => output.Contains("Kernel panic", StringComparison.Ordinal);
}
