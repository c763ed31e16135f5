namespace Hypervisor.Engine.Scheduling;

/// <summary>How much a machine suffers from waiting for a processor.</summary>
public enum LatencySensitivity
{
    /// <summary>A waking processor of the machine takes the place of one that has had its due, after that one has run half a millisecond.</summary>
    Normal,

    /// <summary>It does so at once, and a sleeping machine keeps four times as much credit for when it wakes. It gets no more in the long run.</summary>
    High,
}
