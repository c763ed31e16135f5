using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Engine.Memory;

/// <summary>
/// Which changes of the host's memory state are worth an event. Under steady pressure the state goes to and fro several times a second:
/// a worse one is told at once, a better one when nothing worse was seen for a while. Not thread-safe.
/// </summary>
internal sealed class MemoryStateReport
{
    /// <summary>For so long, ns, nothing as bad as what was told last was seen when a better state is told.</summary>
    public const long Calm = 10 * MemoryManager.Second;

    private HostMemoryState _told = HostMemoryState.High, _worstSince = HostMemoryState.High;
    private long _toldSeen;

    /// <summary>Takes note of the state now.</summary>
    /// <param name="state">The state.</param>
    /// <param name="now">Time, ns.</param>
    /// <returns>The change to tell; null for none.</returns>
    public (HostMemoryState Before, HostMemoryState Now)? Follow(HostMemoryState state, long now)
    {
        HostMemoryState before = _told;
        if (state >= _told)
        {
            (_told, _toldSeen, _worstSince) = (state, now, HostMemoryState.High);
        }
        else
        {
            _worstSince = state > _worstSince ? state : _worstSince;
            if (now - _toldSeen >= Calm)
            {
                (_told, _toldSeen, _worstSince) = (_worstSince, now, HostMemoryState.High);
            }
        }

        return _told == before ? null : (before, _told);
    }
}
