using Hypervisor.Engine.Partitions.Software;
using Hypervisor.Engine.Processor;
using Hypervisor.Tests.Unit.Support;

namespace Hypervisor.Tests.Unit.Partitions.Software;

/// <summary>Local APICs on one bus with targets that write down what arrives.</summary>
internal sealed class ApicFixture : IDisposable
{
    public ApicFixture(int count)
    {
        Targets = [.. Enumerable.Range(0, count).Select(_ => new Target())];
        Apics = [.. Targets.Select((target, id) => new LocalApic(id, Bus, target, Clock, Timestamp))];
        Bus.Connect(Apics);
        Bus.EndOfInterrupt = EndedLevels.Add;
    }

    public ManualMachineClock Clock { get; } = new();

    public TimestampCounter Timestamp { get; } = new();

    public ApicBus Bus { get; } = new();

    public LocalApic[] Apics { get; }

    public Target[] Targets { get; }

    public List<byte> EndedLevels { get; } = [];

    public void Dispose()
    {
        foreach (var apic in Apics)
        {
            apic.Dispose();
        }
    }

    /// <summary>Enables all APICs by software, spurious vector FFh.</summary>
    public void EnableAll()
    {
        foreach (var apic in Apics)
        {
            apic.WritePage(0xF0, 4, 0x1FF);
        }
    }

    public void SwitchAllToX2()
    {
        foreach (var apic in Apics)
        {
            Assert.True(apic.TryWriteMsr(0x1B, apic.ApicBase | 0x400));
        }
    }

    public void Send(ulong address, uint data)
    {
        Assert.True(ApicMessage.TryDecode(address, data, out var message));
        Bus.Send(message);
    }

    internal sealed class Target : IApicTarget
    {
        public int Signals { get; private set; }

        public int Nmis { get; private set; }

        public int Inits { get; private set; }

        public List<byte> StartUps { get; } = [];

        public int Moves { get; private set; }

        public void SignalInterrupt() => Signals++;

        public void InjectNmi() => Nmis++;

        public void Init() => Inits++;

        public void StartUp(byte vector) => StartUps.Add(vector);

        public void ApicPageMoved() => Moves++;
    }
}
