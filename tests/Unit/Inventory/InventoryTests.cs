using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;

namespace Hypervisor.Tests.Unit.Inventory;

public sealed class InventoryTests : IDisposable
{
    private readonly TemporaryHost _temporary = new();

    private HypervisorHost Host => _temporary.Host;

    public void Dispose() => _temporary.Dispose();

    [Fact]
    public void A_machine_that_was_made_is_found_by_another_process()
    {
        string disk = _temporary.File("a.raw");
        VirtualMachine made = _temporary.Create("web 1", machine => machine with
        {
            Notes = "first",
            Disks = [new HardDiskConfiguration { Path = disk }],
            AdvancedSettings = new Dictionary<string, string> { ["debugExit.port"] = "0xf4" },
        });

        VirtualMachine found = Assert.Single(_temporary.OpenAnother().FindMachines("WEB*"));
        Assert.Equal(made.Id, found.Id);
        Assert.Equal(("web 1", 256, 0.25m, 1, "first"), (found.Name, found.MemoryMB, found.MemoryGB, found.NumCpu, found.Notes));
        Assert.Equal([disk], found.DiskPath);
        Assert.Equal("0xf4", found.ExtensionData.Config.AdvancedSettings["debugExit.port"]);
        Assert.StartsWith("00:50:56:", found.ExtensionData.Config.NetworkAdapters[0].MacAddress, StringComparison.Ordinal);
    }

    [Fact]
    public void A_name_is_taken_without_regard_to_case()
    {
        _temporary.Create("Web");
        Assert.Throws<NameTakenException>(() => _temporary.Create("wEB"));
        Assert.Single(Host.GetMachines());
    }

    [Fact]
    public void Two_processes_that_take_one_name_at_once_make_one_machine()
    {
        HypervisorHost[] hosts = [Host, _temporary.OpenAnother(), _temporary.OpenAnother()];
        int made = hosts.AsParallel().WithDegreeOfParallelism(3).Sum(host =>
        {
            try
            {
                host.Create(host.NewConfiguration("only", 64, 1)).Wait();
                return 1;
            }
            catch (NameTakenException)
            {
                return 0;
            }
        });
        Assert.Equal(1, made);
        Assert.Single(Host.GetMachines());
    }

    [Fact]
    public void Edits_by_two_processes_are_both_kept()
    {
        VirtualMachine machine = _temporary.Create("a");
        HypervisorHost other = _temporary.OpenAnother();
        Assert.Single(other.GetMachines());

        Host.Reconfigure(machine, static old => old with { MemoryMB = 512 }).Wait();
        other.Reconfigure(other.FindMachines("a")[0], static old => old with { NumCpu = 2 }).Wait();

        VirtualMachine now = Host.FindMachine(machine.Id)!;
        Assert.Equal((512, 2), (now.MemoryMB, now.NumCpu));
    }

    [Theory]
    [InlineData("")]
    [InlineData(" a")]
    [InlineData("a/b")]
    [InlineData("a\\b")]
    [InlineData("a\nb")]
    [InlineData("a\u001b[31mb")]
    [InlineData("..")]
    [InlineData("123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 1")]
    public void An_illegal_name_is_refused(string name) =>
        Assert.Throws<InvalidConfigurationException>(() => _temporary.Create(name));

    [Fact]
    public void A_name_that_is_no_Unicode_is_refused() =>
        Assert.Throws<InvalidConfigurationException>(() => _temporary.Create("a\ud800"));

    [Theory]
    [InlineData("a")]
    [InlineData("Größe 7 [alt] (x) ☃")]
    [InlineData("machine: 1*")]
    public void A_legal_name_is_found_by_itself(string name)
    {
        _temporary.Create(name);
        Assert.Equal(name, Assert.Single(Host.FindMachines(name)).Name);
    }

    [Theory]
    [InlineData(3, 1, 1, "at least 4 MB")]
    [InlineData(0, 1, 1, "at least 4 MB")]
    [InlineData(TemporaryHost.PhysicalMemoryMB + 1, 1, 1, "more than this host has (8192 MB)")]
    [InlineData(256, 0, 1, "1 to 64")]
    [InlineData(256, 65, 1, "1 to 64")]
    [InlineData(256, 4, 3, "do not divide")]
    public void Impossible_sizes_are_refused_with_numbers(int memory, int processors, int cores, string reason)
    {
        var refusal = Assert.Throws<InvalidConfigurationException>(() =>
            _temporary.Create("a", machine => machine with { MemoryMB = memory, NumCpu = processors, CoresPerSocket = cores }));
        Assert.Contains(reason, refusal.Message, StringComparison.Ordinal);
        Assert.Empty(Host.GetMachines());
    }

    [Fact]
    public void Files_that_are_missing_folders_or_twice_there_are_refused()
    {
        string disk = _temporary.File("a.raw");
        Refused(machine => machine with { KernelPath = "/nowhere/vmlinuz" }, "does not exist");
        Refused(machine => machine with { Disks = [new HardDiskConfiguration { Path = _temporary.Folder }] }, "is a folder");
        Refused(machine => machine with { Disks = [new HardDiskConfiguration { Path = disk }, new HardDiskConfiguration { Path = disk }] }, "attached twice");
        Refused(machine => machine with { Disks = [new HardDiskConfiguration { Path = disk, Format = "vmdk" }] }, "'vmdk'");
        Refused(machine => machine with { InitrdPath = disk }, "needs a kernel");
        Refused(machine => machine with { KernelPath = disk, FirmwarePath = disk }, "not both");
        Refused(machine => machine with { NetworkAdapters = Host.NewNetworkAdapters(["Prod"], []) }, "no network 'Prod'");
    }

    [Fact]
    public void A_host_folder_that_is_a_file_or_cannot_be_made_is_named_with_the_remedy()
    {
        string file = _temporary.File("no-folder");
        foreach (string path in (string[])[file, Path.Combine(file, "below")])
        {
            using var host = new HypervisorHost(new HostFolder(path), _temporary.Host.Services);
            string refusal = Assert.Throws<MachineException>(() => host.Create(host.NewConfiguration("a", 64, 1)).Wait()).Message;
            Assert.Contains($"'{path}'", refusal, StringComparison.Ordinal);
            Assert.Contains(HostFolder.EnvironmentVariable, refusal, StringComparison.Ordinal);
        }

        using var broken = new HypervisorHost(new HostFolder(file), _temporary.Host.Services);
        Assert.Contains("is a file", Assert.Throws<MachineException>(broken.GetMachines).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_newer_configuration_is_refused_by_its_version()
    {
        VirtualMachine machine = _temporary.Create("a");
        string path = _temporary.ConfigurationOf(machine);
        File.WriteAllText(path, File.ReadAllText(path).Replace("\"schemaVersion\": 1", "\"schemaVersion\": 2", StringComparison.Ordinal));

        Assert.Empty(_temporary.OpenAnother().GetMachines());
        string problem = Assert.Single(_temporary.OpenAnother().GetUnreadableMachines());
        Assert.Contains("schemaVersion 2", problem, StringComparison.Ordinal);
        Assert.Contains(path, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void A_property_that_is_not_known_is_refused_by_its_name()
    {
        VirtualMachine machine = _temporary.Create("a");
        string path = _temporary.ConfigurationOf(machine);
        File.WriteAllText(path, File.ReadAllText(path).Replace("\"memoryMB\"", "\"turboMode\": true, \"memoryMB\"", StringComparison.Ordinal));
        Assert.Contains("turboMode", Assert.Single(_temporary.OpenAnother().GetUnreadableMachines()), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{\"schemaVersion\": \"x\"}")]
    [InlineData("{\"schemaVersion\": 1}")]
    [InlineData("{\"schemaVersion\": 1, \"machine\": null}")]
    [InlineData("{\"schemaVersion\": 1, \"machine\": {}}")]
    [InlineData("{\"schemaVersion\": 1, \"machine\": {\"id\": \"x\", \"name\": \"a\", \"memoryMB\": 1, \"numCpu\": 1}}")]
    public void A_broken_configuration_hides_no_other_machine(string content)
    {
        VirtualMachine broken = _temporary.Create("broken");
        _temporary.Create("whole");
        File.WriteAllText(_temporary.ConfigurationOf(broken), content);

        Assert.Equal("whole", Assert.Single(Host.GetMachines()).Name);
        Assert.Single(Host.GetUnreadableMachines());
    }

    [Fact]
    public void What_a_crash_left_half_written_is_not_read()
    {
        VirtualMachine machine = _temporary.Create("a");
        string path = _temporary.ConfigurationOf(machine);
        File.WriteAllText(path + ".new", File.ReadAllText(path)[..40]);

        Assert.Equal(256, Assert.Single(_temporary.OpenAnother().GetMachines()).MemoryMB);
        Host.Reconfigure(machine, static old => old with { MemoryMB = 128 }).Wait();
        Assert.Equal(128, _temporary.OpenAnother().FindMachine(machine.Id)!.MemoryMB);
    }

    [Fact]
    public void A_change_within_a_time_stamps_granularity_is_seen()
    {
        VirtualMachine machine = _temporary.Create("a");
        HypervisorHost other = _temporary.OpenAnother();
        for (int i = 0; i < 50; i++)
        {
            int memory = 100 + i;
            Host.Reconfigure(machine, old => old with { MemoryMB = memory }).Wait();
            Assert.Equal(memory, other.FindMachine(machine.Id)!.MemoryMB);
        }
    }

    [Fact]
    public void Removing_leaves_disks_unless_they_are_the_machines_own_and_it_is_asked_for()
    {
        string foreign = _temporary.File("foreign.raw");
        VirtualMachine keep = _temporary.Create("keep");
        string ownKept = Path.Combine(keep.ExtensionData.Folder, "own.raw");
        File.WriteAllBytes(ownKept, new byte[16]);
        Host.Remove(keep, deletePermanently: false).Wait();
        Assert.True(File.Exists(ownKept));

        VirtualMachine gone = _temporary.Create("gone", machine => machine with { Disks = [new HardDiskConfiguration { Path = foreign }] });
        string own = Path.Combine(gone.ExtensionData.Folder, "own.raw");
        File.WriteAllBytes(own, new byte[16]);
        Host.Remove(gone, deletePermanently: true).Wait();
        Assert.False(File.Exists(own));
        Assert.True(File.Exists(foreign));
        Assert.Empty(Host.GetMachines());
        Assert.Empty(Host.GetUnreadableMachines());
    }

    [Fact]
    public void A_machine_that_is_gone_is_reported_as_gone()
    {
        VirtualMachine machine = _temporary.Create("a");
        _temporary.OpenAnother().Remove(machine, deletePermanently: true).Wait();
        Assert.Contains("does not exist any more", Assert.Throws<MachineException>(() => Host.PowerOn(machine).Wait()).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_rename_keeps_the_identity()
    {
        VirtualMachine machine = _temporary.Create("a");
        var renamed = (VirtualMachine)Host.Reconfigure(machine, static old => old with { Name = "b" }).Wait()!;
        Assert.Equal(machine.Id, renamed.Id);
        Assert.Empty(Host.FindMachines("a"));
    }

    private void Refused(Func<VirtualMachineConfiguration, VirtualMachineConfiguration> change, string reason)
    {
        var refusal = Assert.Throws<InvalidConfigurationException>(() => _temporary.Create("a", change));
        Assert.Contains(reason, refusal.Message, StringComparison.Ordinal);
    }
}
