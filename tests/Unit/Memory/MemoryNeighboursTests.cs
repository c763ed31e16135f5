using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Memory;
using Hypervisor.Engine.Memory.Policy;

namespace Hypervisor.Tests.Unit.Memory;

/// <summary>Several processes (here: managers) that divide one budget by telling each other what their machines are like.</summary>
public sealed class MemoryNeighboursTests : IDisposable
{
    private const long Megabyte = 1 << 20;
    private const int PageBytes = 4096;

    private readonly string _folder = Directory.CreateTempSubdirectory("neighbours").FullName;
    private readonly List<string> _troubles = [];
    private readonly List<Neighbour> _neighbours = [];
    private long _now;

    public void Dispose()
    {
        _neighbours.ForEach(static neighbour => neighbour.Dispose());
        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public void Machines_of_two_processes_get_what_they_would_get_in_one()
    {
        Neighbour first = Start(shares: 3000), second = Start(shares: 1000);
        first.Fill();
        second.Fill();

        // Both keep all that they have in use, as far as they may.
        for (int n = 0; n < 60; n++)
        {
            first.Use();
            second.Use();
            Pass();
        }

        long used = first.ConsumedBytes + second.ConsumedBytes;
        Assert.InRange(used, 24 * Megabyte, 40 * Megabyte);
        Assert.True(first.ConsumedBytes > 2 * second.ConsumedBytes, $"{first.ConsumedBytes >> 20} MB and {second.ConsumedBytes >> 20} MB");

        // The second tells in its pass what it has, and the first hears of it in its next.
        long had = second.Manager.Statistics().UsedBytes;
        Pass();
        Pass();
        Assert.Equal(had, first.Manager.Statistics().OthersBytes);
        first.CheckContent();
        second.CheckContent();
    }

    [Fact]
    public void What_another_process_took_is_to_be_had_when_it_ends()
    {
        Neighbour first = Start(), second = Start();
        first.Fill();
        second.Fill();
        for (int n = 0; n < 60; n++)
        {
            Pass();
        }

        Assert.NotEqual(HostMemoryState.High, first.Manager.Statistics().State);
        Assert.True(first.Manager.Statistics().FreeBytes < 20 * Megabyte);
        _neighbours.Remove(second);
        second.Dispose();
        Pass();
        Pass();
        Assert.Equal(0, first.Manager.Statistics().OthersBytes);
        Assert.Equal(HostMemoryState.High, first.Manager.Statistics().State);
    }

    [Fact]
    public void A_change_of_the_hosts_state_is_told_by_one_process()
    {
        Neighbour first = Start();
        Pass();
        Neighbour second = Start();
        first.Fill();
        second.Fill();
        for (int n = 0; n < 30; n++)
        {
            Pass();
        }

        Assert.NotEmpty(first.Told);
        Assert.Empty(second.Told);
        HostMemoryState worst = first.Told[^1].Now;
        Assert.NotEqual(HostMemoryState.High, worst);

        // The other goes on where the first one stopped; one that comes later leaves it to that.
        _neighbours.Remove(first);
        first.Dispose();
        Neighbour third = Start();
        for (int n = 0; n < 30; n++)
        {
            Pass();
        }

        Assert.Equal((worst, HostMemoryState.High), (second.Told[0].Before, second.Told[^1].Now));
        Assert.Empty(third.Told);
    }

    [Fact]
    public void A_process_that_died_is_not_counted_and_what_it_left_is_deleted()
    {
        string notes = Path.Combine(_folder, "memory");
        Directory.CreateDirectory(notes);
        File.WriteAllText(Path.Combine(notes, "1-dead.json"), """{"sharedBytes":1000000,"machines":[]}""");
        File.WriteAllText(Path.Combine(notes, "1-dead.lock"), "");
        Neighbour first = Start();
        Pass();
        Assert.Equal(0, first.Manager.Statistics().OthersBytes);
        Assert.Equal(2, Directory.GetFiles(notes).Length);
    }

    [Fact]
    public void A_note_that_cannot_be_understood_counts_as_what_was_said_before()
    {
        var notes = new MemoryNotes(_folder, _troubles.Add);
        var others = new MemoryNotes(_folder, _troubles.Add);
        others.Exchange(new ProcessMemory(7, [new MachineMemoryNote { Id = Guid.NewGuid(), MemoryBytes = 5 }]));
        Assert.Equal(7, Assert.Single(notes.Exchange(new ProcessMemory(0, []))).SharedBytes);
        string path = Directory.GetFiles(_folder, "*.json").Single(path => File.ReadAllText(path).Contains('7', StringComparison.Ordinal) && File.ReadAllText(path).Contains("memoryBytes", StringComparison.Ordinal));
        foreach (string content in new[] { "", "{", "[]", """{"sharedBytes":"much"}""", "{}" })
        {
            File.WriteAllText(path, content);
            File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddSeconds(content.Length + 5));
            Assert.Equal(7, Assert.Single(notes.Exchange(new ProcessMemory(0, []))).SharedBytes);
        }

        others.Leave();
        Assert.Empty(notes.Exchange(new ProcessMemory(0, [])));
        notes.Leave();
        Assert.Empty(Directory.GetFiles(_folder));
        Assert.Empty(_troubles);
    }

    [Fact]
    public void Trouble_with_the_notes_is_told_once_and_the_machines_go_on()
    {
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "");
        var notes = new MemoryNotes(file, _troubles.Add);
        Assert.Empty(notes.Exchange(new ProcessMemory(0, [])));
        Assert.Empty(notes.Exchange(new ProcessMemory(0, [])));
        Assert.Contains(file, Assert.Single(_troubles), StringComparison.Ordinal);
        notes.Leave();
    }

    private Neighbour Start(int shares = 1000)
    {
        var neighbour = new Neighbour(this, shares);
        _neighbours.Add(neighbour);
        return neighbour;
    }

    private void Pass()
    {
        _now += MemoryManager.Second;
        _neighbours.ForEach(static neighbour => neighbour.Manager.Decide());
    }

    /// <summary>A process with one machine of 32 MB, on a budget of 40 MB for all.</summary>
    private sealed class Neighbour : IDisposable
    {
        private const int Pages = 32 * 256;

        private static readonly byte[] Noise = MakeNoise();

        private readonly GuestMemory _memory = new();
        private readonly ManagedMemory _machine;
        private readonly ulong[] _content = new ulong[Pages];
        private readonly Random _random = new(1);

        public Neighbour(MemoryNeighboursTests test, int shares)
        {
            var source = new MemoryConfigurationSource();
            source.Publish(new MemoryConfiguration { BudgetBytes = 40 * Megabyte, ProcessorMHz = 1000 });
            Manager = new MemoryManager(source, clock: () => test._now) { Neighbours = new MemoryNotes(Path.Combine(test._folder, "memory"), test._troubles.Add) };
            Manager.StateChanged = (before, now, _) => Told.Add((before, now));
            _memory.AddBlock(0, Pages * PageBytes);
            var id = Guid.NewGuid();
            _machine = Manager.Add(new ManagedMemoryOptions
            {
                Id = id,
                Name = "machine",
                Memory = _memory,
                Partition = new ManagedPartition(),
                Plan = new MachineMemoryPlan { MemoryBytes = Pages * PageBytes, Shares = shares },
                SwapPath = Path.Combine(test._folder, $"{id}.vswp"),
                OverheadBytes = 0,
                Failed = static error => throw error,
                Raise = static _ => { },
            });
        }

        public MemoryManager Manager { get; }

        /// <summary>Changes of the host's state that it told of.</summary>
        public List<(HostMemoryState Before, HostMemoryState Now)> Told { get; } = [];

        public long ConsumedBytes => _machine.ConsumedBytes;

        public void Fill()
        {
            for (int page = 0; page < Pages; page++)
            {
                Store(page);
            }
        }

        public void Use()
        {
            for (int n = 0; n < Pages / 8; n++)
            {
                Store(_random.Next(Pages));
            }
        }

        public void CheckContent()
        {
            for (int page = 0; page < Pages; page++)
            {
                Assert.True(_memory.TryRead(((ulong)page * PageBytes) + 800, out ulong content));
                Assert.Equal(_content[page], content);
            }
        }

        public void Dispose()
        {
            _machine.Dispose();
            Manager.Dispose();
            _memory.Dispose();
        }

        // Some part of the noise: nothing that could be shared or compressed.
        private void Store(int page)
        {
            var noise = new ReadOnlySpan<byte>(Noise, _random.Next(Noise.Length - PageBytes), PageBytes);
            _content[page] = BitConverter.ToUInt64(noise[800..]);
            Assert.True(_memory.TryWrite((ulong)page * PageBytes, noise));
        }

        private static byte[] MakeNoise()
        {
            byte[] noise = new byte[1 << 20];
            new Random(2).NextBytes(noise);
            return noise;
        }
    }
}
