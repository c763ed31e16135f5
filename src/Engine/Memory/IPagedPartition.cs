using System.Diagnostics.CodeAnalysis;

namespace Hypervisor.Engine.Memory;

/// <summary>
/// A partition from which memory can be taken while its processors run. Found by casting an <see cref="Partitions.IPartition"/>; without
/// it only the balloon gives memory back.
/// </summary>
public interface IPagedPartition
{
    /// <summary>Memory of the host that the backend takes for its processors, bytes; 0 where it is not known. From any thread.</summary>
    long HostBytes => 0;

    /// <summary>
    /// Has the backend give back, as soon as its processors run, what it can do without of <see cref="HostBytes"/>. They are slower for a
    /// while. From any thread; does not wait.
    /// </summary>
    void TrimHost()
    {
    }

    /// <summary>Has processors ask for the pages of all writable memory. Once, after memory was mapped and before processors run.</summary>
    /// <param name="pages">Who knows where pages are.</param>
    /// <param name="homes">The backend's half of it.</param>
    /// <param name="reason">Why this host does not let the backend do it, for a person.</param>
    bool TryAttachPages(GuestPages pages, [NotNullWhen(true)] out IPageHomes? homes, out string reason);
}
