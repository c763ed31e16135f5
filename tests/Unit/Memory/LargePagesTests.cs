using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;
using Hypervisor.Engine.Partitions;
using Hypervisor.Engine.Partitions.Kvm;
using Hypervisor.Tests.Unit.Partitions;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>
/// Memory in large pages of the host. The kernel gives one when it has one to give, so what is asserted holds either way; where it matters
/// that a large page is broken up, that is asked of the kernel's own list of frames.
/// </summary>
public sealed class LargePagesTests : IDisposable
{
    private const int PageBytes = 4096, Pages = MemoryBytes / PageBytes, InLarge = LargePages.Bytes / PageBytes;
    private const int MemoryBytes = 32 << 20;
    private const long Megabyte = 1 << 20;
    private const ReclaimMethods All = ReclaimMethods.Share | ReclaimMethods.Compress | ReclaimMethods.Swap;

    private readonly string _folder = Directory.CreateTempSubdirectory("large").FullName;
    private readonly MemoryConfigurationSource _source = new();
    private readonly List<MachineEvent> _events = [];
    private readonly MemoryManager _manager;
    private readonly GuestMemory _memory = new();
    private ManagedMemory? _machine;
    private long _now;

    public LargePagesTests()
    {
        _manager = new MemoryManager(_source, clock: () => _now);
        _memory.AddBlock(0, MemoryBytes);
        Publish(1024);
    }

    private nint Host => _memory.Blocks.Single().HostAddress;

    public void Dispose()
    {
        _machine?.Dispose();
        _memory.Dispose();
        _manager.Dispose();
        Directory.Delete(_folder, recursive: true);
    }

    [LinuxFact]
    public void Large_pages_of_guest_and_host_are_at_the_same_places()
    {
        using var memory = new GuestMemory();
        memory.AddBlock(0, 0xA0000);
        memory.AddBlock(0x10_0000, 0x70_0000);
        memory.AddBlock(1ul << 32, 0x20_0000);
        foreach (var (guest, host, _, _) in memory.Blocks.Skip(1))
        {
            Assert.Equal(guest % LargePages.Bytes, (ulong)host % LargePages.Bytes);
        }

        foreach (var (guest, _, bytes, _) in memory.Blocks)
        {
            Assert.True(memory.TryWrite(guest + bytes - 8, guest + 1));
            Assert.True(memory.TryRead(guest + bytes - 8, out ulong value));
            Assert.Equal(guest + 1, value);
        }
    }

    [LargePagesFact]
    public void A_machine_is_counted_for_the_large_pages_that_it_has()
    {
        Add(new HostPagedPartition());
        Assert.Contains("hg", ProcessMappings.FlagsOf(Host));
        for (int page = 0; page < Pages; page += InLarge)
        {
            Write(page, 1);
        }

        Pass(2 * MemoryManager.Second);
        HashSet<int> present = ProcessMappings.PresentIn(Host, Pages);
        int large = Enumerable.Range(0, Pages / InLarge).Count(number => present.Contains((number * InLarge) + 1));
        Assert.Equal((large * InLarge) + (Pages / InLarge) - large, present.Count);
        Assert.Equal(present.Count * (long)PageBytes, Statistics.ConsumedBytes);
        Assert.Equal(large * (long)LargePages.Bytes, Statistics.LargePageBytes);
    }

    [LargePagesFact]
    public void A_setting_forbids_large_pages()
    {
        Publish(1024, new MemoryPolicySettings { AllowsLargePages = false });
        Add(new HostPagedPartition());
        WriteOneOfEach();
        Assert.Equal(0, Statistics.LargePageBytes);

        // And allows them again, to a machine that runs.
        Publish(1024);
        Pass();
        Assert.Contains("hg", ProcessMappings.FlagsOf(Host));
    }

    [LinuxFact]
    public void A_backend_that_they_do_not_help_has_none_whatever_the_host_does_for_others()
    {
        Add(new HostPagedPartition(usesLargePages: false));
        Pass();
        WriteOneOfEach();
    }

    [LargePagesFact]
    public void When_memory_gets_short_there_are_no_more_large_pages_until_there_is_enough()
    {
        Add(new HostPagedPartition());
        for (int page = 0; page < Pages; page++)
        {
            Write(page, Noise(page));
        }

        Publish(33);
        Pass(3 * MemoryManager.Second);
        Assert.NotEqual(HostMemoryState.High, _manager.Statistics().State);
        Assert.Contains("nh", ProcessMappings.FlagsOf(Host));
        Publish(1024);
        Pass();
        Assert.Equal(HostMemoryState.High, _manager.Statistics().State);
        Assert.Contains("hg", ProcessMappings.FlagsOf(Host));
        CheckNoise();
    }

    [LargePagesFact]
    public void What_is_taken_of_a_large_page_goes_back_to_the_system_and_the_rest_stays()
    {
        ManagedMemory machine = Add(new HostPagedPartition());
        for (int page = 0; page < Pages; page++)
        {
            Write(page, Noise(page));
        }

        machine.LargePages.Allow(false);
        GuestPages pages = machine.Pages!;
        for (int number = 0; number < Pages / InLarge; number += 2)
        {
            // Others of the same large page are in use by a device.
            Assert.True(_memory.TryPin((ulong)((number * InLarge) + 100) * PageBytes, PageBytes, forWriting: true, out _));
        }

        Assert.Equal(Pages / 2, pages.Reclaim(Pages / 2, All, urgent: true), 64.0);
        HashSet<int> present = ProcessMappings.PresentIn(Host, Pages);
        Assert.Equal(pages.PagesIn(PageState.Private), present.Count);
        Assert.All(present, page => Assert.Equal(PageState.Private, pages.EntryOf(page).State));
        AssertBroken(page => !present.Contains(page));
        CheckNoise();
    }

    [LargePagesFact]
    public void A_large_page_that_the_guest_gives_back_goes_as_a_whole()
    {
        Add(new HostPagedPartition());
        for (int page = 0; page < Pages; page++)
        {
            Write(page, Noise(page));
        }

        PageRange[] ranges = [new(3ul * LargePages.Bytes, InLarge), new(5ul * LargePages.Bytes, 2 * InLarge), new(8ul * LargePages.Bytes, InLarge)];
        Assert.Equal(4L * LargePages.Bytes, _memory.Release(ranges));
        HashSet<int> present = ProcessMappings.PresentIn(Host, Pages);
        Assert.Equal(Pages - (4 * InLarge), present.Count);
        Assert.Contains("hg", ProcessMappings.FlagsOf(Host));
        Assert.Equal(0ul, Read(3 * InLarge));
        Assert.Equal(Noise(4 * InLarge), Read(4 * InLarge));
    }

    [LargePagesFact]
    public void What_the_guest_gives_back_of_a_large_page_stays_away()
    {
        Add(new HostPagedPartition());
        GiveBackParts();
    }

    [LargePagesFact]
    public void What_a_balloon_gives_back_stays_away_where_nobody_keeps_books_of_pages()
    {
        Assert.Null(Add(new HostPagedPartition { HasPages = false }).Pages);
        GiveBackParts();
    }

    [KvmFact]
    public void On_kvm_pages_are_taken_out_of_large_ones_and_come_back()
    {
        using var partition = new TestMachine(new KvmPartitionFactory());
        partition.Partition.MapMemory(1ul << 32, Host, MemoryBytes, MemoryAccess.All);
        if (Add(partition.Partition).Pages is not { } pages)
        {
            // Without the right to userfaultfd nothing is taken.
            Assert.Contains("userfaultfd", Assert.Single(_events).Message, StringComparison.Ordinal);
            return;
        }

        for (int page = 0; page < Pages; page++)
        {
            Write(page, Noise(page));
        }

        for (int round = 0; round < 3; round++)
        {
            pages.Watch(Pages);
            Assert.Equal(3000, pages.Reclaim(3000, All, urgent: true), 64.0);
            HashSet<int> present = ProcessMappings.PresentIn(Host, Pages);
            Assert.Equal(pages.PagesIn(PageState.Private), present.Count);
            AssertBroken(page => !present.Contains(page));
            CheckNoise();
            pages.Restore(Pages);
        }

        Assert.Equal(Pages, pages.PagesIn(PageState.Private));
        CheckNoise();
    }

    private void GiveBackParts()
    {
        for (int page = 0; page < Pages; page++)
        {
            Write(page, Noise(page));
        }

        // Parts of some, wholly and in part another, a page of one, and what lies beyond memory.
        (int First, int Count)[] parts = [(10, 20), (700, 1), (InLarge * 4 - 5, InLarge + 10), (InLarge * 9, 511), (Pages - 1, 1)];
        Assert.Equal(parts.Sum(static part => part.Count) * (long)PageBytes, _memory.Release([.. parts.Select(static part => new PageRange((ulong)part.First * PageBytes, (uint)part.Count))]));
        bool IsGone(int page) => parts.Any(part => page >= part.First && page < part.First + part.Count);
        Assert.Equal(Enumerable.Range(0, Pages).Where(page => !IsGone(page)), ProcessMappings.PresentIn(Host, Pages).Order());

        // The kernel does not fill the holes to make it a large page again.
        Assert.Contains("nh", ProcessMappings.FlagsOf(Host));
        Pass();
        Assert.Contains("nh", ProcessMappings.FlagsOf(Host));
        AssertBroken(IsGone);
        for (int page = 0; page < Pages; page++)
        {
            Assert.Equal(IsGone(page) ? 0ul : Noise(page), Read(page));
        }
    }

    // What is left of a large page of which something is gone is in small ones: as long as one of them is there, all of it would be.
    private void AssertBroken(Func<int, bool> isGone)
    {
        for (int first = 0; first < Pages; first += InLarge)
        {
            if (Enumerable.Range(first, InLarge).Any(isGone) && ProcessMappings.LargePartsIn(Host + ((nint)first * PageBytes), InLarge) is { } parts)
            {
                Assert.Equal(0, parts);
            }
        }
    }

    private void WriteOneOfEach()
    {
        Assert.Contains("nh", ProcessMappings.FlagsOf(Host));
        int[] written = [.. Enumerable.Range(0, Pages / InLarge).Select(static number => (number * InLarge) + 7)];
        foreach (int page in written)
        {
            Write(page, 1);
        }

        Assert.Equal(written, ProcessMappings.PresentIn(Host, Pages).Order());
    }

    private MachineMemoryStatistics Statistics => Assert.Single(_manager.Statistics().Machines);

    private ManagedMemory Add(IPartition partition)
    {
        var id = Guid.NewGuid();
        return _machine = _manager.Add(new ManagedMemoryOptions
        {
            Id = id,
            Name = "large",
            Memory = _memory,
            Partition = partition,
            Plan = new MachineMemoryPlan { MemoryBytes = MemoryBytes },
            SwapPath = Path.Combine(_folder, $"{id}.vswp"),
            OverheadBytes = 0,
            Raise = _events.Add,
            Failed = static error => Assert.Fail(error.ToString()),
        });
    }

    private void Publish(int budgetMB, MemoryPolicySettings? settings = null) => _source.Publish(new MemoryConfiguration
    {
        BudgetBytes = budgetMB * Megabyte,
        ProcessorMHz = 1000,
        Settings = settings ?? MemoryPolicySettings.Default,
    });

    private void Pass(long time = MemoryManager.Second)
    {
        _now += time;
        _manager.Decide();
    }

    private void Write(int page, ulong value) => Assert.True(_memory.TryWrite((ulong)page * PageBytes, value));

    private ulong Read(int page)
    {
        Assert.True(_memory.TryRead((ulong)page * PageBytes, out ulong value));
        return value;
    }

    private void CheckNoise()
    {
        for (int page = 0; page < Pages; page++)
        {
            Assert.Equal(Noise(page), Read(page));
        }
    }

    private static ulong Noise(int page) => ((ulong)page + 1) * 0x9E37_79B9_7F4A_7C15;
}
