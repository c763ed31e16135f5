namespace Hypervisor.Engine.Memory;

/// <summary>Where the content of a page of guest memory is.</summary>
public enum PageState : byte
{
    /// <summary>Never written, or given back: reads as zeroes, and takes no memory of the host.</summary>
    Untouched,

    /// <summary>In its home, its place in the machine's mapping.</summary>
    Private,

    /// <summary>In a frame that other pages with the same content use too; copied when it is written.</summary>
    Shared,

    /// <summary>Compressed, in the machine's compression cache.</summary>
    Compressed,

    /// <summary>In the machine's swap file.</summary>
    Swapped,

    /// <summary>Between two of these: some thread is moving it, and everybody else waits.</summary>
    Moving,
}
