using System.Text;
using Hypervisor.Engine.Inventory;
using Hypervisor.Engine.Machines;
using Hypervisor.Engine.Partitions;

namespace Hypervisor.Tests.Guests.Support;

/// <summary>A machine made for one test, with what it prints and how it ended.</summary>
internal sealed class TestGuest : IDisposable
{
    /// <summary>A guest that has not ended by then hangs; the bound is for slow hosts and never part of what is tested.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    private readonly string _folder = Directory.CreateTempSubdirectory("guest").FullName;
    private readonly List<MachineEvent> _events = [];

    public TestGuest(BackendKind backend, byte[]? kernel, Func<VirtualMachineConfiguration, VirtualMachineConfiguration>? configure = null, MachineFactory? factory = null)
    {
        string? path = null;
        if (kernel is not null)
        {
            path = Path.Combine(_folder, "kernel");
            File.WriteAllBytes(path, kernel);
        }

        var configuration = new VirtualMachineConfiguration
        {
            Id = Guid.NewGuid(),
            Name = "guest",
            MemoryMB = 16,
            NumCpu = 1,
            KernelPath = path,
            Backend = backend,
            AdvancedSettings = new Dictionary<string, string> { ["debugExit.port"] = "0xf4" },
        };
        try
        {
            Machine = (factory ?? new MachineFactory()).Create(configure?.Invoke(configuration) ?? configuration);
        }
        catch
        {
            Directory.Delete(_folder, recursive: true);
            throw;
        }

        Machine.EventRaised += happened =>
        {
            lock (_events)
            {
                _events.Add(happened);
            }
        };
    }

    public IMachine Machine { get; }

    public IReadOnlyList<MachineEvent> Events
    {
        get
        {
            lock (_events)
            {
                return [.. _events];
            }
        }
    }

    /// <summary>All output that the console still has.</summary>
    public string Output => ReadAll(Machine.Console);

    /// <summary>Everything that a console remembers.</summary>
    public static string ReadAll(MachineConsole console)
    {
        var text = new StringBuilder();
        byte[] buffer = new byte[65536];
        long position = 0;
        for (int count; (count = console.Read(ref position, buffer)) > 0;)
        {
            text.Append(Encoding.Latin1.GetString(buffer, 0, count));
        }

        return text.ToString();
    }

    public void Start() => Machine.Start();

    /// <summary>Starts it and waits for its end.</summary>
    public MachineStop Run()
    {
        Start();
        return WaitForEnd();
    }

    public MachineStop WaitForEnd() => Machine.Stopped.Wait(Patience)
        ? Machine.Stopped.Result
        : throw new TimeoutException($"The guest did not end. It printed: {Printable(Output)} What happened: {string.Join(" ", Events.Select(happened => happened.Message))}");

    public void WaitForText(string text)
    {
        if (!Machine.Console.WaitForTextAsync(text, 0, Patience).GetAwaiter().GetResult())
        {
            throw new TimeoutException($"The guest did not print '{text}' but: {Printable(Output)}");
        }
    }

    // The end of it: whoever floods a port would fill the log.
    private static string Printable(string output) =>
        string.Concat(output.TakeLast(2000).Select(static character => char.IsControl(character) && character != '\n' ? '.' : character));

    public void Dispose()
    {
        Machine.Dispose();
        Directory.Delete(_folder, recursive: true);
    }
}
