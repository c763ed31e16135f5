using Hypervisor.Engine.Memory;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>
/// Where the host's page tables say what is there, a device must find its pages there and open to stores: a thread of managed code that waits
/// for a page keeps a garbage collection waiting, that keeps waiting who would bring the page, and the process stands still.
/// </summary>
public sealed class PinnedPagesTests
{
    private const ReclaimMethods All = ReclaimMethods.Share | ReclaimMethods.Compress | ReclaimMethods.Swap;
    private const int Count = 64;
    private const ulong PageBytes = GuestMemory.PageSize;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    [UserFaultFact]
    public void What_was_pinned_before_pages_could_be_taken_is_there_when_they_can()
    {
        using var machine = new MappedMachine(Count, new MemoryStorage());
        Assert.True(machine.Memory.TryPin(5 * PageBytes, 3 * PageBytes, forWriting: true, out _));
        Assert.True(machine.Memory.TryPin(20 * PageBytes, PageBytes, forWriting: false, out _));
        machine.Pages.Watch(1);
        Assert.True(machine.Pages.IsEngaged);
        Assert.Superset(new HashSet<int> { 5, 6, 7, 20 }, PresentIn(machine));
    }

    [UserFaultFact]
    public void What_is_pinned_to_be_read_is_there_though_nobody_ever_stored_to_it()
    {
        using var machine = new MappedMachine(Count, new MemoryStorage());
        machine.Pages.Watch(1);
        Assert.True(machine.Memory.TryPin(9 * PageBytes, 2 * PageBytes, forWriting: false, out _));
        Assert.Superset(new HashSet<int> { 9, 10 }, PresentIn(machine));
        Assert.Equal(0ul, machine[9]);
    }

    [UserFaultFact]
    public void What_is_pinned_is_not_protected_whatever_it_was_pinned_for_first()
    {
        using var machine = new MappedMachine(Count, new MemoryStorage());
        for (int page = 0; page < Count; page++)
        {
            machine[page] = (ulong)page;
        }

        machine.Pages.Watch(Count);
        Assert.True(ProcessMappings.IsProtected(HomeOf(machine, 30)));
        Assert.True(machine.Memory.TryRead(30 * PageBytes, out ulong content));
        Assert.Equal(30ul, content);
        Assert.True(machine.Memory.TryPin(30 * PageBytes, PageBytes, forWriting: true, out _));
        Assert.False(ProcessMappings.IsProtected(HomeOf(machine, 30)));
    }

    [UserFaultFact]
    public void Devices_and_garbage_collections_do_not_wait_for_each_other_while_pages_are_taken()
    {
        using var machine = new MappedMachine(Count, new MemoryStorage());
        using var stop = new CancellationTokenSource();
        Exception? failure = null;
        Thread Start(Action<int> step)
        {
            var thread = new Thread(() =>
            {
                try
                {
                    for (int n = 0; !stop.IsCancellationRequested; n++)
                    {
                        step(n);
                    }
                }
                catch (Exception error)
                {
                    failure = error;
                }
            })
            { IsBackground = true };
            thread.Start();
            return thread;
        }

        var random = new Random(1);
        int done = 0;
        Thread[] threads =
        [
            Start(n =>
            {
                ulong address = (ulong)random.Next(Count) * PageBytes;
                Assert.True(n % 3 == 0 ? machine.Memory.TryWrite(address, address) : machine.Memory.TryRead(address, out ulong value) && (value == 0 || value == address));
                Interlocked.Increment(ref done);
            }),
            Start(n =>
            {
                machine.Pages.Watch(Count);
                machine.Pages.Reclaim(Count / 2, All, urgent: n % 2 == 0);
                machine.Pages.Release([new PageRange((ulong)(n % Count) * PageBytes, 3)]);
                machine.Pages.NextSample(8);
            }),
            Start(static _ => GC.Collect(0)),
        ];
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref done) > 20_000 || failure is not null, Patience), "Nothing moves any more.");
        stop.Cancel();
        Assert.All(threads, static thread => Assert.True(thread.Join(Patience)));
        Assert.Null(failure);
    }

    private static unsafe nint HomeOf(MappedMachine machine, int page) => (nint)machine.Pages.HomeOf(page);

    private static HashSet<int> PresentIn(MappedMachine machine) => ProcessMappings.PresentIn(HomeOf(machine, 0), Count);
}
