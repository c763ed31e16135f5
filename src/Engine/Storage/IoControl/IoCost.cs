namespace Hypervisor.Engine.Storage.IoControl;

/// <summary>What a request asks of a disk.</summary>
public enum IoKind
{
    /// <summary>Read sectors.</summary>
    Read,
    /// <summary>Write sectors.</summary>
    Write,
    /// <summary>Make writes durable.</summary>
    Flush,
    /// <summary>Give space back.</summary>
    Discard,
    /// <summary>Make a range read as zeroes; the host may have to write them.</summary>
    WriteZeroes,
}

/// <summary>How much of a datastore a request uses, so that large requests pay for what they take (mClock, OSDI 2010, section 3.2).</summary>
public static class IoCost
{
    /// <summary>Bytes that cost as much as one small request: ESXi's Disk.SchedCostUnit.</summary>
    public const int DefaultUnit = 32 * 1024;

    /// <summary>Cost of a request, 1 or more.</summary>
    /// <param name="kind">What it does; only what moves or writes bytes is paid by size.</param>
    /// <param name="bytes">Its size.</param>
    /// <param name="unit">Bytes that cost 1.</param>
    public static int Of(IoKind kind, long bytes, int unit = DefaultUnit) =>
        kind is IoKind.Flush or IoKind.Discard || bytes <= unit ? 1 : (int)Math.Min(int.MaxValue, ((bytes - 1) / unit) + 1);
}
