namespace Hypervisor.Engine.Memory.Stores;

/// <summary>Counts of a machine's swap file since power-on.</summary>
/// <param name="PagesInUse">Pages that are in the file.</param>
/// <param name="LimitPages">Most pages that may be.</param>
/// <param name="PagesWritten">Pages written.</param>
/// <param name="PagesRead">Pages read.</param>
/// <param name="WriteCalls">Writes that the operating system was asked for.</param>
/// <param name="ReadCalls">Reads that the operating system was asked for.</param>
/// <param name="WriteTime">Time spent encrypting and writing, over all threads.</param>
/// <param name="ReadTime">Time spent reading and decrypting, over all threads.</param>
/// <param name="Failures">Writes and reads that did not end well.</param>
internal readonly record struct SwapStatistics(
    long PagesInUse, long LimitPages, long PagesWritten, long PagesRead, long WriteCalls, long ReadCalls, TimeSpan WriteTime, TimeSpan ReadTime, long Failures)
{
    /// <summary>Bytes written.</summary>
    public long BytesWritten => PagesWritten * PageContent.Size;

    /// <summary>Bytes read.</summary>
    public long BytesRead => PagesRead * PageContent.Size;
}
