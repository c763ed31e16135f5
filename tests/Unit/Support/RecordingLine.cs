using Hypervisor.Engine.Devices;

namespace Hypervisor.Tests.Unit.Support;

/// <summary>An interrupt line that counts its rising edges.</summary>
internal sealed class RecordingLine : IInterruptLine
{
    public bool Level { get; private set; }

    public int Edges { get; private set; }

    public void Set(bool asserted)
    {
        Edges += asserted && !Level ? 1 : 0;
        Level = asserted;
    }
}
