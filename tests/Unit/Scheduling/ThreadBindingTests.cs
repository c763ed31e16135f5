using Hypervisor.Engine.Native.Timing;
using Hypervisor.Engine.Scheduling;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Scheduling;

/// <summary>Which processors of the host the threads of machines may run on, as the operating system says.</summary>
public sealed class ThreadBindingTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private static readonly int[] Numbers = ThreadAffinity.Of(0);

    private static HostTopology Topology(params int[] nodeOfSlot) => new(2000, nodeOfSlot) { HostNumbers = Numbers[..nodeOfSlot.Length] };

    [TwoProcessorsFact]
    public void A_thread_runs_on_the_processors_of_its_machines_affinity_only()
    {
        using var scheduler = new CpuScheduler(Topology(0, 0));
        Guid id = Guid.NewGuid();
        MachinePlan second = MachinePlan.Default with { Affinity = [1] };
        using MachineSchedule machine = scheduler.Add(id, "m", 1, second);
        WorldPermit permit = machine.PermitFor(0, static () => { });
        OnAThread(() =>
        {
            Assert.True(permit.Acquire());
            Assert.Equal([Numbers[1]], ThreadAffinity.Of(0));

            // While it runs.
            scheduler.Change(id, "m", MachinePlan.Default with { Affinity = [0] });
            Assert.Equal([Numbers[0]], ThreadAffinity.Of(0));

            // While it has nothing to do.
            permit.Release(WorldState.Idle);
            scheduler.Change(id, "m", MachinePlan.Default);
            Assert.True(permit.Acquire());
            Assert.Equal(Numbers[..2], ThreadAffinity.Of(0));
            permit.Release(WorldState.Blocked);
        });
    }

    [TwoProcessorsFact]
    public void Threads_run_on_the_processor_of_their_slot_while_others_wait_for_one_and_where_they_like_when_none_does()
    {
        using var scheduler = new CpuScheduler(Topology(0, 0));
        MachineSchedule[] machines = [.. Enumerable.Range(0, 3).Select(i => scheduler.Add(Guid.NewGuid(), $"m{i}", 1, MachinePlan.Default))];
        bool[] wereBound = new bool[3], areFree = new bool[3];
        bool[] ended = new bool[3];
        Thread[] threads = [.. machines.Select((machine, i) => new Thread(() =>
        {
            bool kicked = false;
            WorldPermit permit = machine.PermitFor(0, () => Volatile.Write(ref kicked, true));
            while (!Volatile.Read(ref ended[i]))
            {
                Assert.True(permit.Acquire());
                Volatile.Write(ref kicked, false);
                while (permit.MayGoOn && !Volatile.Read(ref kicked) && !Volatile.Read(ref ended[i]))
                {
                    int[] processors = ThreadAffinity.Of(0);
                    wereBound[i] |= processors.SequenceEqual([Numbers[permit.World.Slot]]);
                    Volatile.Write(ref areFree[i], processors.AsSpan().SequenceEqual(Numbers.AsSpan(0, 2)));
                }
            }

            permit.Release(WorldState.Blocked);
        }))];
        Array.ForEach(threads, static thread => thread.Start());
        Assert.True(SpinWait.SpinUntil(() => Array.TrueForAll(wereBound, static bound => bound), Patience));
        Volatile.Write(ref ended[0], true);
        threads[0].Join();
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref areFree[1]) && Volatile.Read(ref areFree[2]), Patience));
        Array.Fill(ended, true);
        Array.ForEach(threads, static thread => thread.Join());
        Array.ForEach(machines, static machine => machine.Dispose());
    }

    [TwoProcessorsFact]
    public void A_thread_that_a_bound_thread_starts_is_not_bound()
    {
        using var scheduler = new CpuScheduler(Topology(0, 0));
        using MachineSchedule machine = scheduler.Add(Guid.NewGuid(), "m", 1, MachinePlan.Default with { Affinity = [1] });
        WorldPermit permit = machine.PermitFor(0, static () => { });
        OnAThread(() =>
        {
            Assert.True(permit.Acquire());
            OnAThread(static () => Assert.Equal(Numbers, ThreadAffinity.Of(0)));
            permit.Release(WorldState.Blocked);
        });
    }

    [TwoProcessorsFact]
    public void A_thread_runs_on_the_node_that_it_was_given_a_processor_of()
    {
        using var scheduler = new CpuScheduler(Topology(0, 1));
        using MachineSchedule one = scheduler.Add(Guid.NewGuid(), "one", 1, MachinePlan.Default);
        using MachineSchedule other = scheduler.Add(Guid.NewGuid(), "other", 1, MachinePlan.Default);
        WorldPermit first = one.PermitFor(0, static () => { }), second = other.PermitFor(0, static () => { });
        OnAThread(() =>
        {
            Assert.True(first.Acquire());
            Assert.Equal([Numbers[first.World.Slot]], ThreadAffinity.Of(0));
            OnAThread(() =>
            {
                Assert.True(second.Acquire());
                Assert.NotEqual(first.World.Slot, second.World.Slot);
                Assert.Equal([Numbers[second.World.Slot]], ThreadAffinity.Of(0));
                second.Release(WorldState.Blocked);
            });
            first.Release(WorldState.Blocked);
        });
    }

    [TwoProcessorsFact]
    public void A_processor_that_the_host_has_not_is_reported_and_the_thread_runs_all_the_same()
    {
        const int Missing = 8000;
        using var scheduler = new CpuScheduler(new HostTopology(2000, 0, 0) { HostNumbers = [Numbers[0], Missing] });
        string? refused = null;
        scheduler.BindingRefused = (name, why) => refused = $"{name}: {why}";
        using MachineSchedule machine = scheduler.Add(Guid.NewGuid(), "m", 1, MachinePlan.Default with { Affinity = [1] });
        WorldPermit permit = machine.PermitFor(0, static () => { });
        OnAThread(() =>
        {
            Assert.True(permit.Acquire());
            Assert.Equal(Numbers, ThreadAffinity.Of(0));
            permit.Release(WorldState.Blocked);
        });
        Assert.StartsWith("m: processors 8000: ", refused, StringComparison.Ordinal);
    }

    // A thread of its own: what it is bound to goes with it.
    private static void OnAThread(Action action)
    {
        Exception? failed = null;
        var thread = new Thread(() => failed = Record.Exception(action));
        thread.Start();
        thread.Join();
        Assert.Null(failed);
    }
}
