using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Partitions;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Inventory;

/// <summary>A host on a folder of its own, with machines that run nothing.</summary>
public sealed class TemporaryHost : IDisposable
{
    public const int PhysicalMemoryMB = 8192;

    private readonly List<HypervisorHost> _hosts = [];

    public TemporaryHost()
    {
        Folder = Path.Combine(Path.GetTempPath(), "hv-test-" + Guid.NewGuid().ToString("N"));
        Factory = new FakeMachineFactory();
        Host = OpenAnother(Factory);
        HypervisorHost.Use(Host);
    }

    public string Folder { get; }

    /// <summary>Time of the statistics; stands still unless a test advances it.</summary>
    internal ManualTimeProvider Clock { get; } = new();

    public FakeMachineFactory Factory { get; }

    public HypervisorHost Host { get; }

    /// <summary>A second host on the same folder, as a second process has it: locks are those of open files and not of the process.</summary>
    public HypervisorHost OpenAnother(FakeMachineFactory? factory = null)
    {
        factory ??= new FakeMachineFactory();
        var host = new HypervisorHost(new HostFolder(Folder), new HostServices
        {
            CreateMachineFactory = () => factory,
            FindBackends = static () => [new BackendFinding(BackendKind.Software, true, true, "a test")],
            PhysicalMemoryMB = PhysicalMemoryMB,
            Time = Clock,
        });
        _hosts.Add(host);
        return host;
    }

    public VirtualMachine Create(string name, Func<VirtualMachineConfiguration, VirtualMachineConfiguration>? change = null)
    {
        VirtualMachineConfiguration machine = Host.NewConfiguration(name, 256, 1);
        return (VirtualMachine)Host.Create(change is null ? machine : change(machine)).Wait()!;
    }

    public string File(string name, int bytes = 512)
    {
        string path = Path.Combine(Folder, name);
        Directory.CreateDirectory(Folder);
        System.IO.File.WriteAllBytes(path, new byte[bytes]);
        return path;
    }

    public string ConfigurationOf(VirtualMachine machine) => Path.Combine(Folder, "machines", machine.Id.ToString("D"), "machine.json");

    public void Dispose()
    {
        _hosts.ForEach(static host => host.Dispose());
        if (Directory.Exists(Folder))
        {
            Directory.Delete(Folder, recursive: true);
        }
    }
}
