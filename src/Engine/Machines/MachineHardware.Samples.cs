using System.Diagnostics;
using Hypervisor.Engine.Devices.Acpi;
using Hypervisor.Engine.Devices.Interrupts;
using Hypervisor.Engine.Devices.Serial;
using Hypervisor.Engine.Devices.Virtio;
using Hypervisor.Engine.Network;
using Hypervisor.Engine.Network.UserMode;

namespace Hypervisor.Engine.Machines;

// What devices counted, for whoever watches. The counters are read without stopping anything, also after disposal.
internal sealed partial class MachineHardware
{
    private const int TimerLine = 0, ClockLine = 8;

    // ESX numbers ports from here on the first switch of a host.
    private const int FirstPortId = 0x0200_0001;

    private static int _portsMade;

    private readonly List<VirtioPciDevice> _functions = [];
    private readonly List<NetworkPort> _ports = [];
    private readonly long _assembled = Stopwatch.GetTimestamp();

    /// <summary>The network ports.</summary>
    public IReadOnlyList<NetworkPortSample> SampleNetworkPorts()
    {
        TimeSpan age = Stopwatch.GetElapsedTime(_assembled);
        return [.. _ports.Select(port => port.Sample(_configuration.Name, _configuration.Id, age))];
    }

    /// <summary>What has interrupted at least once.</summary>
    public IReadOnlyList<InterruptSourceSample> SampleInterrupts()
    {
        var samples = new List<InterruptSourceSample>();
        for (int line = 0; line < InterruptRouter.LineCount; line++)
        {
            if (_interrupts.AssertionsOf(line) is > 0 and long count)
            {
                samples.Add(new InterruptSourceSample(NameOf(line), $"IRQ {line}", count));
            }
        }

        foreach (VirtioPciDevice function in _functions)
        {
            for (int vector = 0; vector < function.Msix!.VectorCount; vector++)
            {
                if (function.Msix.SentBy(vector) is > 0 and long count)
                {
                    string use = function.UseOf(vector);
                    samples.Add(new InterruptSourceSample(use.Length == 0 ? function.Device.Name : $"{function.Device.Name}, {use}", $"MSI-X {vector}", count));
                }
            }
        }

        return samples;
    }

    private static int NextPortId() => FirstPortId + Interlocked.Increment(ref _portsMade) - 1;

    private static string NameOf(int line) => line switch
    {
        TimerLine => "timer (8254)",
        Uart16550.Com1Irq => "serial port 1",
        ClockLine => "real-time clock",
        AcpiPlatform.SystemControlInterrupt => "ACPI",
        _ => "PCI devices without MSI-X",
    };

    private sealed record NetworkPort(int Id, string Network, string MacAddress, VirtioNet Card, UserModeNetwork UserMode)
    {
        public NetworkPortSample Sample(string machine, Guid id, TimeSpan age)
        {
            NetworkAdapterStatistics counted = Card.Statistics;
            return new NetworkPortSample
            {
                PortId = Id,
                MachineName = machine,
                MachineId = id,
                Adapter = Card.Name,
                MacAddress = MacAddress,
                Network = Network,
                LinkUp = Card.LinkUp,
                UpTime = age,

                // A frame that the adapter refuses for want of room it does not count: the network keeps it, or gives it up.
                Statistics = counted with { ReceivedDropped = counted.ReceivedDropped + UserMode.Statistics.DroppedToGuest },
            };
        }
    }
}
