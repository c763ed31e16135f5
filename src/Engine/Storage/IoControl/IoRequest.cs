namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>
/// A request of a disk on its way through the scheduler. The disk makes its requests once and uses them again; the scheduler links them
/// by their own fields, so that nothing is allocated.
/// </summary>
public abstract class IoRequest
{
    /// <summary>The datastore has a place for the request: it is to be executed and then completed. From any thread; must not wait.</summary>
    protected internal abstract void Granted();

    internal IoRequest? Next { get; set; }

    internal DiskQueue? Queue { get; set; }

    internal IoKind Kind { get; set; }

    internal long Bytes { get; set; }

    internal int Cost { get; set; }

    /// <summary>It takes a place of the datastore's queue, which completing it gives back.</summary>
    internal bool TakesPlace { get; set; }

    /// <summary>When it came, was given to the scheduler, was granted, and when its execution began; nanoseconds.</summary>
    internal long ArrivedAt { get; set; }

    internal long QueuedAt { get; set; }

    internal long GrantedAt { get; set; }

    internal long StartedAt { get; set; }
}
