namespace Hypervisor.Engine.Memory;

// How much of a machine's memory is in use: a few pages chosen at random, watched for a while (Waldspurger, OSDI 2002, 5.3).
public sealed partial class GuestPages
{
    private readonly Random _random = new(0x5eed);
    private int[] _sample = [];
    private int _sampled;

    /// <summary>Ends a sample and begins the next.</summary>
    /// <param name="size">Pages of the next sample; 0 for none.</param>
    /// <returns>How many pages of the ended sample were used, and how many it had.</returns>
    public (int Touched, int Sampled) NextSample(int size)
    {
        lock (_reclaim)
        {
            int touched = 0, sampled = _sampled;
            foreach (int page in _sample.AsSpan(0, sampled))
            {
                touched += EndSample(page) ? 1 : 0;
            }

            _sampled = 0;
            if (_sample.Length < size)
            {
                _sample = new int[size];
            }

            // Before pages can be taken nobody knows who uses them.
            _isMarking = true;
            for (int n = 0; n < size && IsEngaged; n++)
            {
                int page = _random.Next(Count);
                var entry = Read(page);
                if (CanSample(entry.State) && !entry.IsSampled && Replace(page, entry, entry.Sampled()))
                {
                    _sample[_sampled++] = page;
                }
            }

            WatchMarked(_sample.AsSpan(0, _sampled));
            return (touched, sampled);
        }
    }

    /// <summary>How many pages of the present sample were used so far, and how many it has.</summary>
    public (int Touched, int Sampled) PeekSample()
    {
        lock (_reclaim)
        {
            int touched = 0;
            foreach (int page in _sample.AsSpan(0, _sampled))
            {
                touched += Read(page).IsSampled ? 0 : 1;
            }

            return (touched, _sampled);
        }
    }

    // Where processors are not asked, only stores to pages that are there can be noticed.
    private bool CanSample(PageState state) => _homes.AreAsked ? state != PageState.Moving : state == PageState.Private;

    private bool EndSample(int page)
    {
        while (true)
        {
            var entry = Read(page);
            if (!entry.IsSampled)
            {
                return true;
            }

            // A page that is on its way somewhere keeps its marks until it is there.
            if (entry.State != PageState.Moving && Replace(page, entry, entry.Unsampled()))
            {
                return false;
            }

            Thread.Yield();
        }
    }
}
