using Hypervisor.Engine.Native.Files;

namespace Hypervisor.Engine.Memory.Stores;

/// <summary>The bytes under a swap file; a test puts another in place of a disk. Calls answer bytes, or the error's number negated.</summary>
internal abstract unsafe class SwapStorage : IDisposable
{
    /// <summary>Reads; fewer bytes than asked for at the end of the file.</summary>
    public abstract long Read(byte* buffer, int length, long offset);

    /// <summary>Writes; fewer bytes than asked for when room ends.</summary>
    public abstract long Write(byte* buffer, int length, long offset);

    /// <summary>Gives a range's blocks back to the file system; false where that cannot be.</summary>
    public abstract bool Punch(long offset, long length);

    /// <summary>True for an error that says there is no room, which may come.</summary>
    public virtual bool IsNoRoom(long error) => -error is PositionalIo.NoSpace or PositionalIo.QuotaExceeded or PositionalIo.FileTooLarge;

    /// <summary>Words for an error.</summary>
    public virtual string Describe(long error) => Native.Posix.Errno.Describe((int)-error);

    /// <summary>Closes and deletes.</summary>
    public abstract void Dispose();
}
