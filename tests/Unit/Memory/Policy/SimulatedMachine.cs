using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Tests.Unit.Memory.Policy;

/// <summary>What a simulated guest's balloon driver is like.</summary>
internal enum BalloonDriver
{
    /// <summary>There is none.</summary>
    None,

    /// <summary>Does what it is asked for at its speed, as far as its guest has memory that it does not use.</summary>
    Honest,

    /// <summary>Is there and never does anything.</summary>
    Dead,

    /// <summary>Reports at once what it was asked for, and gives nothing back.</summary>
    Lying,
}

/// <summary>
/// A guest's memory in bytes: what it uses all the time, what it once used and could do without, what it has freed but touched, and
/// what it never touched. Pages are not told apart: it is the amounts that the policy moves.
/// </summary>
internal sealed class SimulatedMachine(MachineMemoryPlan plan)
{
    public MachineMemoryPlan Plan { get; set; } = plan;

    public MachineMemoryHistory History { get; } = new();

    public BalloonDriver Driver { get; set; } = BalloonDriver.Honest;

    /// <summary>What the working set is to become, bytes, and how fast it grows, bytes a second.</summary>
    public double WantedHot, Growth = 100 << 20;

    public double Overhead = 16 << 20;

    /// <summary>Part of host memory that the balloon driver gives back a second.</summary>
    public double BalloonSpeed = 200 << 20;

    public double SwapCapacity = double.MaxValue;

    /// <summary>Brought back from swap a second at most.</summary>
    public double FaultSpeed = 100 << 20;

    public double Hot, Cold, Freed, Balloon, HotAway, ColdAway;

    public double ToEvict, ToRestore;

    /// <summary>The fraction in use that is told to the policy; null for the truth.</summary>
    public double? Estimate { get; set; }

    public MachineMemoryDecision Decision { get; set; }

    /// <summary>Bytes that were evicted and brought in, and seconds that it waited for memory.</summary>
    public double Evicted, BroughtIn, Blocked, BalloonMoved;

    public double Size => Plan.MemoryBytes;

    public double Consumed => Hot - HotAway + Cold - ColdAway + Freed;

    public double Away => HotAway + ColdAway;

    private double Untouched => Math.Max(0, Size - Hot - Cold - Freed - RealBalloon);

    private double RealBalloon => Driver == BalloonDriver.Lying ? 0 : Balloon;

    /// <summary>Lets the guest have used all its memory once, so much of it in use.</summary>
    public SimulatedMachine Fill(double hot, double cold)
    {
        (Hot, Cold, WantedHot) = (hot, cold, hot);
        return this;
    }

    public MachineMemoryInput Input() => new()
    {
        Plan = Plan,
        History = History,
        OverheadBytes = (long)Overhead,
        ConsumedBytes = (long)Consumed,
        ActiveBytes = (long)((Estimate ?? Hot / Size) * Size),
        HasBalloon = Driver != BalloonDriver.None,
        BalloonBytes = (long)Balloon,
        SwappedBytes = (long)Away,
        EvictionRoomBytes = (long)Math.Min(long.MaxValue / 4, Math.Max(0, SwapCapacity - Away)),
    };

    public void Take(in MachineMemoryDecision decision)
    {
        Decision = decision;
        ToEvict = decision.EvictBytes;
        ToRestore = decision.RestoreBytes;
    }

    /// <summary>Lets so many seconds pass.</summary>
    /// <param name="seconds">How long.</param>
    /// <param name="free">Free memory of the host; the machine takes of it.</param>
    /// <param name="blockBelow">Below so much free memory it waits when it must.</param>
    /// <param name="evictionLeft">What the host can evict in that time; the machine takes of it.</param>
    public void Step(double seconds, ref double free, double blockBelow, ref double evictionLeft)
    {
        double before = Consumed;
        MoveBalloon(seconds);
        double evict = Math.Min(Math.Min(ToEvict, evictionLeft), Math.Min(Consumed, SwapCapacity - Away));
        ToEvict -= Evict(evict);
        evictionLeft -= evict;
        free += before - Consumed;
        Use(seconds, ref free, blockBelow);
    }

    private void Use(double seconds, ref double free, double blockBelow)
    {
        if (WantedHot < Hot)
        {
            // What is not used any more stays as a cache, half of it as free pages that were touched.
            double less = Hot - WantedHot, away = Math.Min(HotAway, less);
            Hot -= less;
            HotAway -= away;
            Cold += (less / 2) + (away / 2);
            ColdAway += away;
            Freed += (less / 2) - (away / 2);
            return;
        }

        double grow = Math.Min(WantedHot - Hot, Growth * seconds), fault = Math.Min(HotAway, FaultSpeed * seconds), restore = Math.Min(Math.Min(ToRestore, ColdAway), FaultSpeed * seconds);

        // The guest reuses what it has freed before it touches something new, and drops caches when there is nothing else.
        double reuse = Math.Min(grow, Freed), fresh = Math.Min(grow - reuse, Untouched), dropped = Math.Min(grow - reuse - fresh, Cold), back = Cold > 0 ? dropped * ColdAway / Cold : 0;
        double need = fresh + fault + restore + back, before = Consumed, part = need > 0 ? Obtain(need, free, blockBelow) / need : 1;
        Blocked += part < 0.5 ? seconds : 0;
        reuse = Math.Min(reuse, Freed);
        Freed -= reuse;
        Cold -= dropped * part;
        ColdAway -= (back + restore) * part;
        Hot += reuse + ((fresh + dropped) * part);
        HotAway -= fault * part;
        ToRestore -= restore * part;
        BroughtIn += (fault + restore + back) * part;
        free -= Consumed - before;
    }

    // What of so much it gets now: above the ceiling in exchange for other pages, and otherwise as far as it need not wait.
    private double Obtain(double need, double free, double blockBelow)
    {
        double given = Math.Min(need, Math.Max(Math.Min(Decision.BlockAboveBytes - Consumed, free), free - blockBelow));
        double allowed = Math.Clamp(Decision.CeilingBytes - Consumed, 0, need);
        return Math.Clamp(given, 0, allowed) + Evict(Math.Min(need - allowed, Math.Max(0, SwapCapacity - Away - need)));
    }

    // What is not in use goes first; what was used lately follows.
    private double Evict(double bytes)
    {
        if (bytes <= 0)
        {
            return 0;
        }

        double freed = Math.Min(bytes, Freed), cold = Math.Min(bytes - freed, Cold - ColdAway), hot = Math.Min(bytes - freed - cold, Hot - HotAway);

        // Freed pages are content to the host as others are.
        Freed -= freed;
        Cold += freed;
        ColdAway += freed + cold;
        HotAway += hot;
        Evicted += freed + cold + hot;
        return freed + cold + hot;
    }

    private void MoveBalloon(double seconds)
    {
        double difference = Decision.BalloonTargetBytes - Balloon;
        if (Driver == BalloonDriver.Lying)
        {
            Balloon += difference;
            return;
        }

        if (Driver != BalloonDriver.Honest)
        {
            return;
        }

        double step = Math.Clamp(difference, -BalloonSpeed * seconds, BalloonSpeed * seconds);
        BalloonMoved += Math.Abs(step);
        if (step <= 0)
        {
            Balloon += step;
            return;
        }

        // Free pages by chance, touched or not; then caches, as far as they can be dropped.
        double untouched = Untouched, freePages = untouched + Freed, fromFree = Math.Min(step, freePages), part = freePages > 0 ? Freed / freePages : 0, fromCold = Math.Min(step - fromFree, Cold);
        Freed -= fromFree * part;
        if (fromCold > 0)
        {
            ColdAway -= fromCold * ColdAway / Cold;
            Cold -= fromCold;
        }

        Balloon += fromFree + fromCold;
    }
}
